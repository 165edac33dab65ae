"""Seconds of audio that MusicGen makes in a second: `adapter.generate` beside transformers' own `generate`.

    python benchmarks/generation.py [--out FOLDER] [--quick]

Same weights, same lengths, both sampling, by turns; ours draws with a seed for every clip. The wide model is a block of
MusicGen-large's shape with random weights: what grows with the length, keys and values, weighs there as in the whole.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from models import musicgen_large
from report import Row, Spread, by_turns, ratio, write_report

import mmsteer


@dataclass(frozen=True)
class Case:
    """One length and batch of one model.

    Attributes:
        name: What the table calls the model.
        adapter: The model.
        batch: Clips at once.
        seconds: Of each clip.
        rounds: How often both run; one round is long enough to need no other before it.
    """

    name: str
    adapter: Any
    batch: int
    seconds: float
    rounds: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--quick", action="store_true", help="small batches of the bundled model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    music = mmsteer.load("bundled:music")
    cases = [Case("bundled:music", music, batch, 4.0, 5) for batch in (1, 8)]
    if not options.quick:
        wide = mmsteer.adapt(musicgen_large(music), music.processor)
        cases += [Case("bundled:music", music, 32, 4.0, 5), Case("a block of MusicGen-large", wide, 16, 8.0, 1)]
    tables = {"MusicGen: seconds of audio a second": [measured(case) for case in cases]}
    print(*write_report("generation", tables, options.out, ("Processor seconds on the CPU, one thread.",)))


def measured(case: Case) -> Row:
    """One case.

    Args:
        case: What to run.
    """
    adapter, batch, seconds = case.adapter, case.batch, case.seconds
    prompts = ["a slow piano melody"] * batch
    inputs = adapter.processor(text=prompts, padding=True, return_tensors="pt")
    plain = partial(adapter.model.generate, **inputs, do_sample=True, max_new_tokens=adapter.frames(seconds) + 3)
    ours = partial(adapter.generate, prompts, seconds, list(range(batch)))
    clock = time.process_time if adapter.device.type == "cpu" else time.perf_counter
    jobs = {"ours": partial(_spent, ours, clock), "plain": partial(_spent, plain, clock)}
    spent = by_turns(jobs, case.rounds, warm=int(case.rounds > 1))
    return {
        "model": case.name,
        "batch": batch,
        "seconds a clip": seconds,
        "mmsteer / transformers": ratio(spent["plain"], spent["ours"]),
        "mmsteer": batch * seconds / Spread.of(spent["ours"]).median,
        "transformers generate": batch * seconds / Spread.of(spent["plain"]).median,
    }


def _spent(job: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    job()
    return clock() - began


if __name__ == "__main__":
    main()
