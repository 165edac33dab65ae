"""Read a bundled model, train a sparse dictionary on it, measure it, and write the dictionary's folder.

    python -m mmsteer.worlds.training.train_dictionary --model bundled:vision --out runs/vision-dictionary

What is not said is chosen for the model: three minutes on one core that is not shared.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmsteer.adapters import AnyAdapter, MusicgenAdapter, load
from mmsteer.bundled import bundled_path
from mmsteer.sae import (
    BatchTopK,
    Held,
    Shuffled,
    Training,
    loss_recovered,
    measure,
    train_dictionary,
    usage,
    write_sae_lens,
)
from mmsteer.sae.formats.usage_file import write_usage
from mmsteer.streams import ReadStates
from mmsteer.types import Site
from mmsteer.worlds.training.dictionary_card import write_card
from mmsteer.worlds.training.dictionary_data import Group, groups

BEGAN = time.monotonic()
JUDGED = 16
"""Samples that loss recovered is measured on."""
BLOCK = 2048

MUSIC: dict[str, Any] = {"site": "decoder.2", "samples": 240, "features": 1536, "k": 24, "steps": 600}
VISION: dict[str, Any] = {"site": "text.2", "samples": 300, "features": 384, "k": 8, "steps": 1200}
COMMON: dict[str, Any] = {"batch": 1024, "rate": 2e-3, "seed": 1}


def main() -> None:
    """Run all stages."""
    options = _options().parse_args()
    torch.set_num_threads(options.threads)
    adapter = load(bundled_path(options.model.removeprefix("bundled:")), device="cpu", dtype="float32")
    chosen = COMMON | (MUSIC if isinstance(adapter, MusicgenAdapter) else VISION)
    chosen = chosen | {name: value for name, value in vars(options).items() if value is not None}
    site = Site.parse(chosen["site"])
    pairs = [group.halves for group in _told(groups(adapter, chosen["samples"], chosen["seed"]))]
    learned, held = (
        torch.cat([_states(adapter, pair[half], site, chosen["seed"]) for pair in pairs]) for half in (0, 1)
    )
    _say(f"{len(learned)} hidden states of {site} to learn from, {len(held)} to judge by")
    steps = chosen["steps"]
    dictionary = train_dictionary(
        Shuffled(Held(learned), batch=chosen["batch"], seed=chosen["seed"]),
        # A short training: the threshold is averaged over its second half.
        BatchTopK(chosen["k"], threshold_start=steps // 2, memory=0.99),
        Training(
            chosen["features"],
            steps,
            rate=chosen["rate"],
            warmup=steps // 10,
            dead_after=50 * chosen["batch"],
            seed=chosen["seed"],
        ),
        site=site,
        model=adapter.fingerprint,
        sketch=adapter.sketch,
        report=lambda status: _say(f"step {status.step}: {status}"),
    )
    quality = measure(dictionary, held.split(BLOCK))
    recovery = loss_recovered(adapter, dictionary, pairs[0][1].samples[:JUDGED])
    write_sae_lens(options.out, dictionary, overwrite=True)
    write_usage(options.out, usage(dictionary, learned.split(BLOCK)), overwrite=True)
    minutes = (time.monotonic() - BEGAN) / 60
    told = chosen | {"rows": len(learned), "groups": _in_words([pair[0] for pair in pairs]), "minutes": minutes}
    write_card(options.out, dictionary, (quality, recovery), told)
    _say(f"{quality}, loss recovered {recovery.share:.3f}; wrote {options.out}")


def _told(found: Any) -> Any:
    for group in found:
        _say(f"{len(group.samples)} {group.name}")
        yield group


def _states(adapter: AnyAdapter, group: Group, site: Site, seed: int) -> Tensor:
    states = ReadStates(adapter, group.samples, site, group.positions, tokens=group.tokens, seed=seed)
    return torch.cat([states[index] for index in range(len(states.rows))])


def _in_words(learned: Sequence[Group]) -> str:
    return "; ".join(f"{group.tokens} of each of {len(group.samples)} {group.name}" for group in learned)


def _say(line: str) -> None:
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {line}", flush=True)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True, help="bundled:music, bundled:vision ...")
    parser.add_argument("--out", type=Path, required=True, help="the dictionary's folder; what is there is replaced")
    parser.add_argument("--site", help="where to read and write")
    parser.add_argument("--samples", type=int, help="clips or scenes that are rendered")
    parser.add_argument("--features", type=int)
    parser.add_argument("--k", type=int, help="active features a hidden state, on average")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int, help="hidden states a step")
    parser.add_argument("--rate", type=float, help="highest learning rate")
    parser.add_argument("--seed", type=int, help="of samples and training; the model's own training took 0")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
