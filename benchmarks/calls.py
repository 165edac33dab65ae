"""Whole calls of `generate`, steered at every block: a language model beside today's peers, or images, or music.

    python benchmarks/calls.py [--out FOLDER] [--tokens 16 128 2048] [--rows 1 8 64] [--rounds 3] [--model bundled:text]
                               [--peers repeng]
    python benchmarks/calls.py --many 1000

Each toolkit adds the same vector at every block of a twin of the same weights, and its call is timed by turns with the
unsteered one: prompt, setting up and all. Seconds are those of the processor where there is no accelerator. Peers that
are not installed are named as such; `benchmarks/peers.py` says how to install them, and `--peers` takes a few of them
alone, for long calls. `--many` makes so many short calls in one session, and says what the last hundred cost beside the
first, and how much memory they kept.
"""

import argparse
import gc
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from first_token import seconds
from models import blocks, direction, twin
from peers import PEERS, is_installed
from PIL import Image
from report import Row, Spread, by_turns, installed, ratio, write_report

import mmsteer

STRONG = 3.0
PROMPT = "The weather today is nice and the birds are singing in the old trees"


def main() -> None:
    options = _options().parse_args()
    torch.set_num_threads(1)
    loaded = mmsteer.load(options.model)
    plain = loaded.model
    plain.generation_config.eos_token_id = None
    tables: dict[str, list[Row]] = {}
    if options.many:
        tables["Many calls in one session"] = [many(loaded, options.many)]
        print(*write_report("many_calls", tables, options.out))
        return
    for tokens in options.tokens:
        for rows in options.rows:
            title = f"{tokens} new tokens, {rows} rows"
            tables[title] = compared(loaded, tokens, rows, options.rounds, options.peers)
            print(title, *tables[title], sep="\n", flush=True)
            # Written as it grows, so that a run that is cut short leaves what it has.
            write_report("calls", tables, options.out, packages=tuple(PEERS))


def compared(loaded: Any, tokens: int, rows: int, rounds: int, peers: Sequence[str]) -> list[Row]:
    """A row a toolkit, all in the same rounds."""
    call = partial(_called, **asked(loaded, rows), max_new_tokens=tokens)
    # Peers steer a language model alone.
    peers = [name for name in peers if loaded.output_kind == "text" and not loaded.sees]
    found: dict[str, dict[str, Any]] = {
        name: {"toolkit": name, "version": installed(name)} for name in ("mmsteer", *peers)
    }
    jobs: dict[str, Callable[[], float]] = {"unsteered": partial(seconds, partial(call, loaded.model.generate))}
    with ExitStack() as exits:
        expected = None
        for name in ("mmsteer", *filter(is_installed, peers)):
            generate = exits.enter_context(attached(name, loaded))
            made = call(generate)
            expected = made if expected is None else expected
            found[name]["same tokens"] = bool(torch.equal(made, expected))
            jobs[name] = partial(seconds, partial(call, generate))
        times = by_turns(jobs, rounds, warm=0)
    for name in jobs.keys() - {"unsteered"}:
        found[name]["call over unsteered"] = ratio(times[name], times["unsteered"])
        found[name]["its call / ours"] = ratio(times[name], times["mmsteer"])
        found[name]["s a call"] = Spread.of(times[name]).median
    return list(found.values())


def asked(loaded: Any, rows: int) -> dict[str, Any]:
    """What `generate` is given: the same prompt in each row, with an image where the model sees."""
    processor, prompt = loaded.processor, PROMPT
    if loaded.output_kind == "text" and loaded.sees:
        image = Image.linear_gradient("L").resize((96, 96)).convert("RGB")
        talk = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]}]
        prompt = processor.apply_chat_template(talk, add_generation_prompt=True)
        given = processor(images=[image] * rows, text=[prompt] * rows, return_tensors="pt")
    else:
        given = processor(text=[prompt] * rows, return_tensors="pt")
    told = {"do_sample": False} | ({"pad_token_id": 0} if loaded.output_kind == "text" else {})
    return {name: tensor.to(loaded.device) for name, tensor in given.items()} | told


@contextmanager
def attached(name: str, loaded: Any) -> Iterator[Callable[..., Any]]:
    """A toolkit's `generate` on a twin of its own, with the same vectors."""
    model = twin(loaded.model)
    adapter = mmsteer.adapt(model, loaded.processor)
    one = direction(adapter, blocks(adapter), 0)
    with ExitStack() as exits:
        if name == "mmsteer":
            exits.enter_context(mmsteer.steer(adapter, mmsteer.Steering((mmsteer.Attribute(one, STRONG),))))
            yield model.generate
        else:
            yield exits.enter_context(PEERS[name](model, {site.layer: STRONG * v for site, v in one.vectors.items()}))


@torch.no_grad()
def _called(generate: Callable[..., Any], **options: Any) -> Any:
    return generate(**options)


def many(loaded: Any, count: int) -> Row:
    """What the last hundred of many calls cost beside the first hundred, and what memory they kept."""
    one = direction(loaded, blocks(loaded), 0)
    call = partial(_called, loaded.model.generate, **asked(loaded, 1), max_new_tokens=2)
    times, kept = [], []
    part = max(1, count // 10)
    with mmsteer.steer(loaded, mmsteer.Steering((mmsteer.Attribute(one, STRONG),))):
        for at in range(count):
            times.append(seconds(call))
            if (at + 1) % part == 0:
                gc.collect()
                kept.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
    first, last = Spread.of(times[:part]), Spread.of(times[-part:])
    return {
        "calls": count,
        "first tenth, ms": Spread.of([1e3 * one for one in times[:part]]),
        "last tenth, ms": Spread.of([1e3 * one for one in times[-part:]]),
        "last over first": last.median / first.median,
        "peak memory grew after the first tenth by, MB": kept[-1] - kept[0],
    }


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--model", default="bundled:text")
    parser.add_argument("--tokens", type=int, nargs="+", default=[16, 128, 2048])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=tuple(PEERS), default=list(PEERS), help="only these, or none")
    parser.add_argument("--many", type=int, help="so many calls of two tokens, in the place of the tables")
    return parser


if __name__ == "__main__":
    main()
