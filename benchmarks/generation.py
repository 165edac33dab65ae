"""Seconds of audio that MusicGen makes in a second: `adapter.generate` beside transformers' own `generate`.

    python benchmarks/generation.py [--out FOLDER] [--quick] [--layers 48 --device cuda]

Same weights, same lengths, both sampling, by turns; ours draws with a seed for every clip, and once more with the same
weights in bfloat16. The wide model is a block of MusicGen-large's shape with random weights: what grows with the
length, keys and values, weighs there as in the whole. All 48 blocks need an accelerator.
"""

import argparse
import copy
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

    @property
    def prompts(self) -> list[str]:
        """What is played."""
        return ["a slow piano melody"] * self.batch

    def by(self, adapter: Any) -> Callable[[], object]:
        """The job for `adapter.generate`.

        Args:
            adapter: The model, in any precision.
        """
        return partial(adapter.generate, self.prompts, self.seconds, list(range(self.batch)))

    def by_transformers(self) -> Callable[[], object]:
        """The job for transformers' own `generate`."""
        inputs = self.adapter.processor(text=self.prompts, padding=True, return_tensors="pt").to(self.adapter.device)
        tokens = self.adapter.frames(self.seconds) + self.adapter.delay
        return partial(self.adapter.model.generate, **inputs, do_sample=True, max_new_tokens=tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--quick", action="store_true", help="small batches of the bundled model")
    parser.add_argument("--layers", type=int, default=1, help="blocks of MusicGen-large's shape, of 48")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    music = mmsteer.load("bundled:music", device=options.device)
    cases = [Case("bundled:music", music, batch, 4.0, rounds) for batch, rounds in ((1, 5), (8, 3))]
    if not options.quick:
        wide = mmsteer.adapt(musicgen_large(music, options.layers).to(options.device), music.processor)
        name = f"MusicGen-large, {options.layers} of 48 blocks"
        cases += [Case("bundled:music", music, 32, 4.0, 2), Case(name, wide, 1, 8.0, 1), Case(name, wide, 8, 8.0, 1)]
    tables = {"MusicGen: seconds of audio a second": [measured(case) for case in cases]}
    print(*write_report("generation", tables, options.out, ("Processor seconds on the CPU, one thread.",)))


def measured(case: Case) -> Row:
    """One case.

    Args:
        case: What to run.
    """
    adapter = case.adapter
    half = mmsteer.adapt(copy.deepcopy(adapter.model).to(torch.bfloat16), adapter.processor)
    runs = {"ours": case.by(adapter), "plain": case.by_transformers(), "half": case.by(half)}
    clock = time.process_time if adapter.device.type == "cpu" else _when_done
    # On the CPU a single long round needs none before it.
    warm = int(case.rounds > 1 or clock is _when_done)
    spent = by_turns({name: partial(_spent, run, clock) for name, run in runs.items()}, case.rounds, warm)
    made = {name: case.batch * case.seconds / Spread.of(seconds).median for name, seconds in spent.items()}
    return {
        "model": case.name,
        "batch": case.batch,
        "seconds a clip": case.seconds,
        "mmsteer / transformers": ratio(spent["plain"], spent["ours"]),
        "bfloat16 / float32": ratio(spent["ours"], spent["half"]),
        "mmsteer": made["ours"],
        "transformers generate": made["plain"],
        "mmsteer, bfloat16": made["half"],
    }


def _when_done() -> float:
    """The time when all that was asked of the accelerator is done."""
    torch.cuda.synchronize()
    return time.perf_counter()


def _spent(job: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    job()
    return clock() - began


if __name__ == "__main__":
    main()
