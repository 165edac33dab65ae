"""Read `bundled:text` once, and train, measure and write a dictionary of each of several layers.

    python -m mmsteer.worlds.training.train_text_dictionaries --out runs/text-dictionaries

What was stopped goes on when the same command is given again: the corpus with its next chunk, training from its last
checkpoint, with the same bits as if it had not been stopped. Layers whose dictionary is written are left alone.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from mmsteer.adapters import AnyAdapter, load
from mmsteer.bundled import bundled_path
from mmsteer.bundled.dictionary import ROWS
from mmsteer.bundled.packaged import cache_directory
from mmsteer.sae import (
    BatchTopK,
    Shuffled,
    SparseDictionary,
    Training,
    loss_recovered,
    measure,
    read_dictionary,
    train_dictionary,
    usage,
    write_sae_lens,
)
from mmsteer.sae.formats.usage_file import write_usage
from mmsteer.types import Site, select_sites
from mmsteer.worlds.training.text_card import TextReport, write_text_card
from mmsteer.worlds.training.text_states import Corpus, LayerStates, learned_and_held

BEGAN = time.monotonic()
CHECKPOINT_STEPS = 100
JUDGED = 16
"""Held answers that loss recovered is measured on."""
AT_ONCE = 4
BLOCK = 2048


def main() -> None:
    """Run all stages on `bundled:text`."""
    options = _options().parse_args()
    torch.set_num_threads(options.threads)
    make_all(options, load(bundled_path("text"), device="cpu", dtype="float32"))


def make_all(options: argparse.Namespace, adapter: AnyAdapter) -> None:
    """Fill the corpus, and make the dictionaries that are not there.

    Args:
        options: As the command line gives them.
        adapter: The model.
    """
    sites = select_sites(options.sites, adapter.sites)
    corpus = Corpus(options.corpus, adapter, sites, options.seed)
    corpus.fill(options.rounds, _say)
    learned, held = learned_and_held(options.rounds)
    options.out.mkdir(parents=True, exist_ok=True)
    corpus.write_answers(options.out / ROWS, held)
    for site in sites:
        if not (options.out / str(site) / "README.md").exists():
            _make(options, adapter, corpus, site, learned, held)


def _make(
    options: argparse.Namespace,
    adapter: AnyAdapter,
    corpus: Corpus,
    site: Site,
    learned: tuple[int, ...],
    held: tuple[int, ...],
) -> None:
    folder, began = options.out / str(site), time.monotonic()
    states, judged = (LayerStates(tuple(map(corpus.states_file, chunks)), site) for chunks in (learned, held))
    checkpoint = options.corpus / f"training-{site}.safetensors"
    trained = _train(options, adapter, states, site, checkpoint)
    write_sae_lens(folder, trained, overwrite=True, half=True)
    # As it ships: everything below is of the rounded weights.
    dictionary = read_dictionary(folder)
    write_usage(folder, usage(dictionary, _blocks(states)), overwrite=True)
    quality = measure(dictionary, _blocks(judged))
    answers = [one for chunk in held for one in corpus.samples(chunk) if one.output]
    recovery = loss_recovered(adapter, dictionary, answers[:JUDGED], batch=AT_ONCE)
    minutes = (time.monotonic() - began) / 60
    told = {**vars(options), "rows": sum(states.rows), "minutes": minutes, "command": _command(options)}
    write_text_card(folder, TextReport(dictionary, quality, recovery, told))
    checkpoint.unlink(missing_ok=True)
    _say(f"{site}: {quality}, loss recovered {recovery.loss_share:.3f}; wrote {folder}")


def _train(
    options: argparse.Namespace, adapter: AnyAdapter, states: LayerStates, site: Site, checkpoint: Path
) -> SparseDictionary:
    return train_dictionary(
        Shuffled(states, batch=options.batch, seed=options.seed),
        # A short training: the threshold is averaged over its second half.
        BatchTopK(options.k, threshold_start=options.steps // 2, memory=0.99),
        Training(
            options.features,
            options.steps,
            rate=options.rate,
            warmup=options.steps // 10,
            dead_after=50 * options.batch,
            scale_batches=32,
            seed=options.seed,
        ),
        site=site,
        model=adapter.fingerprint,
        sketch=adapter.sketch,
        checkpoint=checkpoint,
        checkpoint_steps=CHECKPOINT_STEPS,
        report=lambda status: _say(f"{site} step {status.step}: {status}"),
    )


def _blocks(states: LayerStates) -> Iterator[Tensor]:
    for index in range(len(states.rows)):
        yield from states[index].split(BLOCK)


def _command(options: argparse.Namespace) -> str:
    shown = ("sites", "rounds", "features", "k", "steps", "batch", "rate", "seed")
    given = " ".join(f"--{name} {getattr(options, name)}" for name in shown)
    return f"python -m mmsteer.worlds.training.train_text_dictionaries {given}"


def _say(line: str) -> None:
    print(f"[{time.monotonic() - BEGAN:6.0f} s] {line}", flush=True)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="a folder for a folder of each layer")
    parser.add_argument("--corpus", type=Path, default=cache_directory() / "text-dictionaries", help="its folder")
    parser.add_argument("--sites", default="text.12-16,text.25", help="the layers")
    parser.add_argument("--rounds", type=int, default=14, help="of the corpus: 30,000 hidden states of each layer")
    parser.add_argument("--features", type=int, default=2304)
    parser.add_argument("--k", type=int, default=32, help="active features a hidden state, on average")
    parser.add_argument("--steps", type=int, default=450)
    parser.add_argument("--batch", type=int, default=1024, help="hidden states a step")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=1, help="of prompts, answers, passages and training")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
