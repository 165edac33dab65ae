"""What steering costs while a model decodes, beside peers.

    python benchmarks/steering.py [--out FOLDER] [--quick] [--backend eager]

Writes `steering.json` and `steering.md`; about four minutes on two cores. Steered, unsteered and peers run by turns, a
short `generate` each; a round gives one ratio of their median steps. Operators are ATen calls of steps 9 to 11, which
no machine changes. Peers that are not installed are named as such; `benchmarks/peers.py` says how to install them.
"""

import argparse
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from decoding import Run, operators, step_seconds, steps_of, synchronisations
from models import blocks, direction, heads, language_part, llama_7b, steering, toy_llama, twin
from peers import PEERS, is_installed
from PIL import Image
from report import Row, Spread, by_turns, installed, ratio, write_report
from torch._dynamo.utils import counters
from transformers import CompileConfig

import mmsteer
from mmsteer.types import Adapter

STRONG = 3.0
"""A push that changes what is said, so that equal tokens mean equal steering."""
COUNTED = 9, 12
METERED = 8, 9
NOTES = (
    "Targets: at most 10 % of a step on the bundled models with all layers steered, 3 % at 7B shape; flat in "
    "attributes and distinct rows; fewer added operators than each peer.",
    "Steps are timed in processor seconds on the CPU, one thread, and in wall seconds on an accelerator. Where the "
    "quartiles lie on both sides of 1, the machine was too busy to tell; operators are exact anywhere.",
)


@dataclass(frozen=True)
class Subject:
    """One model to be timed.

    Attributes:
        name: What the tables call it.
        plain: The model that nobody hooks.
        adapter: Its twin, of the same weights, that is steered.
        inputs: Arguments of `generate` for a batch.
    """

    name: str
    plain: Any
    adapter: Any
    inputs: Callable[[int], Mapping[str, Any]]

    def runs(self, batch: int) -> tuple[Run, Run]:
        """Unsteered and steered `generate` of a batch; the steered one within `mmsteer.steer` only.

        Args:
            batch: Samples.
        """
        options = {**self.inputs(batch), "do_sample": False}
        return partial(_without_grad(self.plain), **options), partial(_without_grad(self.adapter.model), **options)


@dataclass(frozen=True)
class Case:
    """One way to steer.

    Attributes:
        batch: Samples.
        layers: 1 for the middle one, None for all.
        heads: Whether all attention heads are steered in the place of blocks.
        attributes: How many at once.
        distinct: Whether each sample has vectors of its own.
        schedule: Of all attributes.
    """

    batch: int
    layers: int | None = None
    heads: bool = False
    attributes: int = 1
    distinct: bool = False
    schedule: str = "constant(1)"


RAMP = "points(0steps:0.5, 64steps:1)"
CASES = (
    *(Case(1, 1), Case(1), Case(1, attributes=8)),
    *(Case(8, 1), Case(8), Case(8, attributes=3), Case(8, attributes=8), Case(8, attributes=8, distinct=True)),
    *(Case(8, schedule=RAMP), Case(8, attributes=8, distinct=True, schedule=RAMP)),
    *(Case(64), Case(64, attributes=8, distinct=True), Case(64, distinct=True, schedule=RAMP)),
    Case(64, attributes=8, distinct=True, schedule=RAMP),
    Case(8, heads=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--quick", action="store_true", help="few rounds, small batches: to see that it runs")
    parser.add_argument(
        "--backend",
        default="inductor" if shutil.which("g++") or torch.cuda.is_available() else "eager",
        help="of torch.compile; 'eager' traces and compiles nothing; inductor where there is a compiler",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    vision, music = mmsteer.load("bundled:vision"), mmsteer.load("bundled:music")
    language = language_part(vision)
    tokenizer = vision.processor.tokenizer
    small = text_subject("language model of bundled:vision", language, tokenizer)
    deep = text_subject("toy LLaMA, 28 layers", toy_llama(), tokenizer)
    wide = text_subject("2 blocks of LLaMA-7B, float32", llama_7b(2), tokenizer)
    both = (vision_subject(vision), music_subject(music))
    rounds = 3 if options.quick else 5
    cases = [case for case in CASES if case.batch < 64 or not options.quick]
    tables: dict[str, list[Row]] = {}
    for title, measure in {
        "Steered against unsteered": lambda: [
            measured(subject, case, 3 * rounds) for subject in both for case in cases
        ],
        "One vector at every layer, beside peers": lambda: peers(small, deep, 2 * rounds),
        "At the shape of a 7B model": lambda: seven_b(wide, deep, 2 if options.quick else 5),
        "The meter of receipts": lambda: [meter(subject, rounds) for subject in (*both, deep)],
        "Compiled, static cache": lambda: [
            compiled(one, options.backend, rounds, batch) for one, batch in ((small, 8), (both[0], 8), (wide, 1))
        ],
    }.items():
        tables[title] = measure()
        # Written as it grows, so that a run that is cut short leaves what it has.
        files = write_report("steering", tables, options.out, NOTES, tuple(PEERS))
        print(title, "->", files[1], flush=True)


def text_subject(name: str, model: Any, tokenizer: Any) -> Subject:
    def inputs(batch: int) -> dict[str, Any]:
        tokens = torch.randint(5, 100, (batch, 8), generator=torch.Generator().manual_seed(0))
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "pad_token_id": 0}

    model.generation_config.eos_token_id = None
    return Subject(name, model, mmsteer.adapt(twin(model), tokenizer), inputs)


def vision_subject(adapter: Any) -> Subject:
    def inputs(batch: int) -> dict[str, Any]:
        grey = Image.new("RGB", (96, 96), "grey")
        asked = [mmsteer.Sample(str(one), "describe the image", (grey,)) for one in range(batch)]
        arguments = adapter.reading(asked).arguments
        return {name: value for name, value in arguments.items() if name != "position_ids"} | {"pad_token_id": 0}

    adapter.model.generation_config.eos_token_id = None
    return Subject("bundled:vision", adapter.model, mmsteer.adapt(twin(adapter.model), adapter.processor), inputs)


def music_subject(adapter: Any) -> Subject:
    def inputs(batch: int) -> dict[str, Any]:
        return dict(adapter.processor(text=["a slow piano melody"] * batch, padding=True, return_tensors="pt"))

    return Subject("bundled:music", adapter.model, mmsteer.adapt(twin(adapter.model), adapter.processor), inputs)


def measured(subject: Subject, case: Case, rounds: int) -> Row:
    """Tokens a second with and without steering, and what steering adds to a step."""
    adapter = subject.adapter
    plain, steered = subject.runs(case.batch)
    steps = 32 if case.batch < 64 else 16
    with mmsteer.steer(adapter, steerings(adapter, case)):
        every = by_turns({"plain": partial(steps_of, plain, steps), "ours": partial(steps_of, steered, steps)}, rounds)
        added, waits = more_operators(plain, steered)
    seconds = {name: [statistics.median(steps) for steps in runs] for name, runs in every.items()}
    whole = {name: [sum(steps) for steps in runs] for name, runs in every.items()}
    layers = case.layers or len(blocks(adapter))
    return {
        "model": subject.name,
        "batch": case.batch,
        "layers": layers,
        "sites": "heads" if case.heads else "blocks",
        "attributes": case.attributes,
        "distinct rows": case.batch if case.distinct else 1,
        "schedule": "ramp" if case.schedule == RAMP else "constant",
        "steered / unsteered step": ratio(seconds["ours"], seconds["plain"]),
        "all steps, metered ones too": ratio(whole["ours"], whole["plain"]),
        "operators a layer and step": added / layers,
        "waits for the device": waits,
        "unsteered tokens a second": case.batch / Spread.of(seconds["plain"]).median,
        "steered tokens a second": case.batch / Spread.of(seconds["ours"]).median,
    }


def steerings(adapter: Adapter, case: Case) -> list[Any] | Any:
    sites = heads(adapter) if case.heads else blocks(adapter)
    sites = sites[len(sites) // 2 :][:1] if case.layers == 1 else sites
    make = partial(steering, adapter, sites, case.attributes, schedule=case.schedule)
    return [make(seed=1000 * row) for row in range(case.batch)] if case.distinct else make(seed=0)


def more_operators(plain: Run, steered: Run, between: tuple[int, int] = COUNTED) -> tuple[float, float]:
    """Operators, and waits for the device, that the second run has more than the first, a step."""
    before, after = operators(plain, *between), operators(steered, *between)
    steps = between[1] - between[0]
    waits = (synchronisations(after) - synchronisations(before)) / steps
    return (after.total() - before.total()) / steps, waits


def peers(small: Subject, deep: Subject, rounds: int) -> list[Row]:
    """The same vector at every layer by every toolkit, in the same rounds."""
    jobs: dict[str, Callable[[], float]] = {}
    rows: dict[str, dict[str, Any]] = {}
    with ExitStack() as exits:
        plain = small.runs(8)[0]
        jobs["unsteered"] = partial(step_seconds, plain, 24)
        expected = None
        for name in ("mmsteer", *PEERS):
            rows[name] = {"toolkit": name, "version": installed(name) or "not installed"}
            if name != "mmsteer" and not is_installed(name):
                continue
            run = exits.enter_context(attached(name, small))
            tokens = run(max_new_tokens=24)
            expected = tokens if expected is None else expected
            rows[name]["same tokens"] = bool(torch.equal(tokens, expected))
            rows[name]["operators a layer and step"], rows[name]["waits for the device"] = added_by(name, deep)
            jobs[name] = partial(step_seconds, run, 24)
        seconds = by_turns(jobs, rounds)
    for name in jobs.keys() - {"unsteered"}:
        rows[name]["steered / unsteered step"] = ratio(seconds[name], seconds["unsteered"])
        rows[name]["its step / ours"] = ratio(seconds[name], seconds["mmsteer"])
    return list(rows.values())


@contextmanager
def attached(name: str, subject: Subject) -> Iterator[Run]:
    """A toolkit's `generate` on a twin of its own, with the same vectors."""
    model = twin(subject.plain)
    adapter = mmsteer.adapt(model, subject.adapter.processor)
    one = direction(adapter, blocks(adapter), 0)
    with ExitStack() as exits:
        if name == "mmsteer":
            exits.enter_context(mmsteer.steer(adapter, mmsteer.Steering((mmsteer.Attribute(one, STRONG),))))
            generate = model.generate
        else:
            vectors = {site.layer: STRONG * vector for site, vector in one.vectors.items()}
            generate = exits.enter_context(PEERS[name](model, vectors))
        exits.enter_context(torch.no_grad())
        yield partial(generate, **subject.inputs(8), do_sample=False)


def added_by(name: str, subject: Subject) -> tuple[float, float]:
    with attached(name, subject) as run:
        added, waits = more_operators(subject.runs(8)[0], run)
    return added / len(blocks(subject.adapter)), waits


def seven_b(wide: Subject, deep: Subject, rounds: int) -> list[Row]:
    """Two blocks of LLaMA-7B's width; and the deep toy's added seconds a layer beside one of those blocks."""
    rows, seconds = [], {}
    for subject, steps, turns in ((wide, 6, rounds), (deep, 24, 2 * rounds)):
        plain, steered = subject.runs(1)
        layers = len(blocks(subject.adapter))
        with mmsteer.steer(subject.adapter, steering(subject.adapter, blocks(subject.adapter), 8)):
            jobs = {"plain": partial(step_seconds, plain, steps), "ours": partial(step_seconds, steered, steps)}
            found = by_turns(jobs, turns)
            added = more_operators(plain, steered)[0]
        seconds[subject.name] = [value / layers for value in found["plain"]]
        extra = Spread.of([(ours - other) / layers for ours, other in zip(found["ours"], found["plain"], strict=True)])
        block = Spread.of(seconds[wide.name]).median
        rows.append(
            {
                "model": subject.name,
                "steered / unsteered step": ratio(found["ours"], found["plain"]),
                "operators a layer and step": added / layers,
                "added a layer / a 7B block": extra.median / block,
            }
        )
    return rows


def meter(subject: Subject, rounds: int) -> Row:
    """What a metered step costs more than one that is not; steps 1, 2, 4, 8 and so on are metered."""
    plain, steered = subject.runs(8)
    layers = len(blocks(subject.adapter))
    with mmsteer.steer(subject.adapter, steering(subject.adapter, blocks(subject.adapter), 1)):
        usual, noted = (more_operators(plain, steered, between)[0] for between in (COUNTED, METERED))
    return {
        "model": subject.name,
        "operators a layer, usual step": usual / layers,
        "operators a layer, metered step": noted / layers,
        "metered of 512 steps": sum((1 << power) < 512 for power in range(10)),
        "operators a layer, mean of 512": (usual * 503 + noted * 9) / 512 / layers,
    }


def compiled(subject: Subject, backend: str, rounds: int, batch: int) -> Row:
    """Graphs, breaks and recompilations of compiled decoding, and whether the edits are in the graph."""
    # Twins share their code, and only their hooks tell them apart.
    with torch._dynamo.config.patch(skip_nnmodule_hook_guards=False):
        return _compiled(subject, backend, rounds, batch)


def _compiled(subject: Subject, backend: str, rounds: int, batch: int) -> Row:
    config = CompileConfig(backend=backend, mode=None, fullgraph=True)
    config._compile_all_devices = True
    options = {"cache_implementation": "static", "compile_config": config}
    plain, steered = subject.runs(batch)
    adapter = subject.adapter
    every = steering(adapter, blocks(adapter), 3)
    strong = replace(every, attributes=tuple(replace(item, strength=STRONG) for item in every.attributes))
    torch._dynamo.reset()
    unsteered = plain(max_new_tokens=24, **options)
    with mmsteer.steer(adapter, strong):
        eager = steered(max_new_tokens=24)
        first = counted(lambda: steered(max_new_tokens=24, **options))
        again = counted(lambda: steered(max_new_tokens=24, **options))
        found = steered(max_new_tokens=24, **options)
        jobs = {
            name: partial(step_seconds, partial(run, **options), 24) for name, run in (("a", steered), ("b", plain))
        }
        seconds = by_turns(jobs, rounds)
    return {
        "model": subject.name,
        "batch": batch,
        "backend": backend,
        "graphs": first[0],
        "graph breaks": first[1] + again[1],
        "graphs after the first call": again[0],
        "tokens as eager": bool(torch.equal(found, eager)),
        "tokens as unsteered": bool(torch.equal(found, unsteered)),
        "steered / unsteered step": ratio(seconds["a"], seconds["b"]),
    }


def counted(run: Callable[[], Any]) -> tuple[int, int]:
    """Graphs that a run compiles, and breaks between them."""
    counters.clear()
    run()
    return counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())


def _without_grad(model: Any) -> Run:
    # Looked up at the call: steering stands around `generate` for as long as it lasts.
    def generate(**options: Any) -> Any:
        with torch.no_grad():
            return model.generate(**options)

    return generate


if __name__ == "__main__":
    main()
