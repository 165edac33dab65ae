"""Training that was stopped goes on from here, bit for bit."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mmsteer import folders
from mmsteer.errors import DictionaryError


def save_checkpoint(path: Path, run: Mapping[str, str], step: int, tensors: Mapping[str, Tensor]) -> None:
    """Write the whole state of training in one file, or leave the one before.

    `run`: what is trained, on what and how; only the same run takes the state up again.

    Raises:
        DictionaryError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folders.save_checkpoint(path, {"run": dict(run), "step": step}, tensors)
    except OSError as cause:
        raise DictionaryError(f"{path} cannot be written: {cause.strerror}") from cause


def load_checkpoint(path: Path, run: Mapping[str, str], tensors: Mapping[str, Tensor]) -> int:
    """Copy a state into its tensors, and say how many steps were done.

    Raises:
        DictionaryError: The file is damaged, or is of another run.
    """
    told, stored = folders.load_checkpoint(path, DictionaryError)
    _check_run(path, told.get("run", {}), run)
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(stored[name])
    return int(told["step"])


def _check_run(path: Path, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    differing = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
    if differing:
        told = "; ".join(f"{key}: {there.get(key)!r} there, {here.get(key)!r} asked" for key in differing)
        raise DictionaryError(f"{path} is of another run ({told}); choose another file, or remove this one")
