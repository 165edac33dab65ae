"""Tensors and plain data of a training set in one file, there whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

_PLAIN = "text"


def write_data(path: Path, tensors: Mapping[str, Tensor], plain: Any) -> None:
    """Write a training set.

    Args:
        path: The file.
        tensors: By name.
        plain: What JSON can hold.
    """
    text = torch.frombuffer(bytearray(json.dumps(plain).encode()), dtype=torch.uint8)
    part = path.with_suffix(".part")
    save_file({**tensors, _PLAIN: text}, part)
    part.replace(path)


def read_data(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors and the plain data of a file that `write_data` wrote.

    Args:
        path: The file.
    """
    tensors = load_file(path)
    return tensors, json.loads(tensors.pop(_PLAIN).numpy().tobytes())
