"""What steering costs before the first token, and over a whole answer.

    python benchmarks/first_token.py [--out FOLDER] [--model bundled:text] [--rounds 9]

Writes `first_token.json` and `first_token.md`. Unsteered and steered calls run by turns, in processor seconds where
there is no accelerator. A session's first call makes the plan; later ones of the same length share it.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from decoding import Operators
from models import blocks, steering, twin
from report import Row, Spread, by_turns, ratio, write_report

import mmsteer

PROMPT = "The weather today is nice and the birds are singing in the old trees"
ANSWER = 128
RAMP = "points(0steps:0.5, 64steps:1)"
NOTES = ("Targets: 5 ms before the first token; 1.03 of the unsteered call over 128 tokens.",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--model", default="bundled:text")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = mmsteer.load(options.model)
    plain = loaded.model
    plain.generation_config.eos_token_id = None
    adapter = mmsteer.adapt(twin(plain), loaded.processor)
    middle = blocks(adapter)[len(blocks(adapter)) // 2 :][:1]
    cases = (("one block", middle, "constant(1)"), ("all blocks", blocks(adapter), RAMP))
    rows = [measured(plain, adapter, *case, options.rounds) for case in cases]
    print(write_report("first_token", {"Before the first token, and a whole call": rows}, options.out, NOTES)[1])


def measured(plain: Any, adapter: Any, sites: str, where: list[Any], schedule: str, rounds: int) -> Row:
    ids = adapter.processor(PROMPT, return_tensors="pt").input_ids.to(adapter.device)
    runs = {"plain": partial(generate, plain, ids), "ours": partial(generate, adapter.model, ids)}
    unsteered = counted(partial(runs["plain"], 1))
    with mmsteer.steer(adapter, steering(adapter, where, 1, schedule=schedule)):
        first, later = (counted(partial(runs["ours"], 1)) - unsteered for _ in range(2))
        # The warm round is the session's first call of its length.
        token, whole = (
            by_turns({name: partial(seconds, partial(run, tokens)) for name, run in runs.items()}, rounds)
            for tokens in (1, ANSWER)
        )
    apart = [1e3 * (ours - other) for ours, other in zip(token["ours"], token["plain"], strict=True)]
    return {
        "sites": sites,
        "schedule": "ramp" if schedule == RAMP else "constant",
        "unsteered first token, ms": 1e3 * Spread.of(token["plain"]).median,
        "more when steered, ms": Spread.of(apart),
        "least of both apart, ms": 1e3 * (min(token["ours"]) - min(token["plain"])),
        "more operators": later,
        "more operators in the first call": first,
        f"call of {ANSWER} tokens": ratio(whole["ours"], whole["plain"]),
        "least over least": min(whole["ours"]) / min(whole["plain"]),
    }


@torch.no_grad()
def generate(model: Any, ids: torch.Tensor, tokens: int) -> Any:
    mask = torch.ones_like(ids)
    return model.generate(ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, pad_token_id=0)


def seconds(run: Callable[[], Any]) -> float:
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    start = clock()
    run()
    return clock() - start


def counted(run: Callable[[], Any]) -> int:
    with Operators() as operators:
        run()
    return operators.counts.total()


if __name__ == "__main__":
    main()
