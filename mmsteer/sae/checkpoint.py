"""Training that was stopped goes on from here, bit for bit."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mmsteer.atomic import write_atomically
from mmsteer.errors import DictionaryError
from mmsteer.json_lines import parse_json

_KEY = "mmsteer training"


def save_checkpoint(path: Path, run: Mapping[str, str], step: int, tensors: Mapping[str, Tensor]) -> None:
    """Write the whole state of training in one file, or leave the one before.

    `run`: what is trained, on what and how; only the same run takes the state up again.

    Raises:
        DictionaryError: The file cannot be written.
    """
    header = json.dumps({"run": dict(run), "step": step})
    data = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, {_KEY: header})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as cause:
        raise DictionaryError(f"{path} cannot be written: {cause.strerror}") from cause


def load_checkpoint(path: Path, run: Mapping[str, str], tensors: Mapping[str, Tensor]) -> int:
    """Copy a state into its tensors, and say how many steps were done.

    Raises:
        DictionaryError: The file is damaged, or is of another run.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = parse_json((file.metadata() or {})[_KEY], str(path), DictionaryError)
            _check_run(path, header["run"], run)
            stored = {name: file.get_tensor(name) for name in tensors}
    except (SafetensorError, OSError, KeyError, TypeError) as cause:
        raise DictionaryError(f"{path} is damaged or no checkpoint ({cause!r}); remove it and start again") from None
    with torch.no_grad():
        for name, tensor in tensors.items():
            if stored[name].shape != tensor.shape:
                raise DictionaryError(f"{path}: {name} is {tuple(stored[name].shape)}, not {tuple(tensor.shape)}")
            tensor.copy_(stored[name])
    return int(header["step"])


def _check_run(path: Path, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    differing = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
    if differing:
        told = "; ".join(f"{key}: {there.get(key)!r} there, {here.get(key)!r} asked" for key in differing)
        raise DictionaryError(f"{path} is of another run ({told}); choose another file, or remove this one")
