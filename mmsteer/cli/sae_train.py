"""What `mmsteer sae train` does with hidden states: a dictionary in a folder."""

from contextlib import nullcontext
from pathlib import Path

import torch

from mmsteer.adapters import AnyAdapter
from mmsteer.cli.sae_inputs import pieces
from mmsteer.sae import (
    Architecture,
    Chunks,
    Held,
    Shuffled,
    SparseDictionary,
    Training,
    progress_bar,
    train_dictionary,
    usage,
    write_sae_lens,
)
from mmsteer.sae.formats.usage_file import write_usage
from mmsteer.types import Site


def write_learned(
    out: Path,
    adapter: AnyAdapter,
    site: Site,
    states: Chunks,
    architecture: Architecture,
    plan: Training,
    *,
    batch: int,
    device: str | torch.device,
    quiet: bool,
) -> SparseDictionary:
    """Train a dictionary, or go on where a training was stopped, and write it with how it is used.

    Args:
        out: The folder.
        adapter: Whose states they are.
        site: Where they were read.
        states: What is learned from.
        architecture: Of the dictionary.
        plan: How it is trained.
        batch: Hidden states a batch, at most as many as there are.
        device: Where it is trained.
        quiet: Show no progress.
    """
    checkpoint = out / "training.safetensors"
    rows = min(batch, sum(states.rows))
    with nullcontext() if quiet else progress_bar() as report:
        dictionary = train_dictionary(
            Shuffled(states, batch=rows, seed=plan.seed, ahead=not isinstance(states, Held)),
            architecture,
            plan,
            site=site,
            model=adapter.fingerprint,
            sketch=adapter.sketch,
            checkpoint=checkpoint,
            device=device,
            report=report,
        ).to("cpu")
    write_sae_lens(out, dictionary)
    write_usage(out, usage(dictionary, pieces(states)))
    checkpoint.unlink(missing_ok=True)
    return dictionary
