"""Arrays by layer: `.pt` of tensors, `.npy`, `.npz` and plain safetensors.

The layouts of `.pt` that are read: one vector (EasySteer's `pt_direction`), a matrix or a list of vectors in the order
of layers that are given; vectors by layer (steering-vectors' `layer_activations`, which it adds to the output of block
N, counted from 0); and tables of them by layer, such as Revis' `vectors[N]["visual"]`, which it adds to the output of
block N - 1, so that its layers are counted as `hidden_states`.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from mmsteer.errors import DirectionError, clip
from mmsteer.formats.content import ByLayer, Content, Export, InOrder
from mmsteer.formats.places import numbered
from mmsteer.tensor_files import read_npy, read_npz, read_pt, read_safetensors

WRAPPED = ("layer_activations", "directions")
"""Under what the dataclasses of steering-vectors and repeng keep their vectors."""

_SHAPES = "one vector, a matrix or list of vectors, or vectors by layer"


def read_arrays_pt(path: Path) -> Content:
    """Read what `torch.save` wrote.

    Args:
        path: The file.

    Raises:
        DirectionError: It is no archive of tensors, or they are arranged in another way.
    """
    values = read_pt(path, DirectionError)
    if isinstance(values, dict) and len(values.keys() & set(WRAPPED)) == 1:
        values = values[next(name for name in WRAPPED if name in values)]
    if isinstance(values, Tensor):
        return Content({"": _rows(path, values.contiguous())})
    if isinstance(values, list | tuple) and values:
        return Content({"": [_one(path, number, value) for number, value in enumerate(values)]})
    if isinstance(values, dict) and values and all(isinstance(value, dict) for value in values.values()):
        return Content(_tables(path, values))
    if isinstance(values, dict) and values:
        return Content({"": {_name(path, name): _one(path, name, value) for name, value in values.items()}})
    raise DirectionError(f"{path} holds {clip(type(values).__name__)}; read are {_SHAPES}")


def read_arrays_npz(path: Path) -> Content:
    """Read vectors by name of their layer.

    Args:
        path: The file.

    Raises:
        DirectionError: It is damaged, or has no arrays.
    """
    return _named(path, read_npz(path, DirectionError))


def read_arrays_npy(path: Path) -> Content:
    """Read one vector, or a matrix of one a layer.

    Args:
        path: The file.

    Raises:
        DirectionError: It is damaged, or of another shape.
    """
    return Content({"": _rows(path, read_npy(path, DirectionError))})


def read_arrays_safetensors(path: Path) -> Content:
    """Read vectors by name of their layer, of a file that mmsteer did not write.

    Args:
        path: The file.

    Raises:
        DirectionError: It is damaged, or has no tensors.
    """
    return _named(path, read_safetensors(path, DirectionError))


def pt_bytes(export: Export) -> bytes:
    """A file of vectors by number of layer, for `SteeringVector(torch.load(file), layer_type)` of steering-vectors.

    Args:
        export: Vectors at blocks, at MLPs or at attentions.

    Raises:
        DirectionError: A vector is at another place.
    """
    buffer = io.BytesIO()
    torch.save(dict(numbered(export, "steering-vectors' vector", ("block", "mlp", "attention"))), buffer)
    return buffer.getvalue()


def npz_bytes(export: Export) -> bytes:
    """A file of vectors by site.

    Args:
        export: Vectors at any sites.
    """
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {str(site): vector.numpy() for site, vector in export.vectors.items()}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def safetensors_bytes(export: Export) -> bytes:
    """A file of vectors by site.

    Args:
        export: Vectors at any sites.
    """
    return save({str(site): vector.contiguous() for site, vector in export.vectors.items()})


def _named(path: Path, arrays: Mapping[str, Tensor]) -> Content:
    if not arrays:
        raise DirectionError(f"{path} holds no arrays")
    by_layer: ByLayer = {name: array for name, array in arrays.items()}
    return Content({"": by_layer})


def _rows(path: Path, tensor: Tensor) -> InOrder:
    if tensor.ndim not in (1, 2) or not tensor.numel():
        raise DirectionError(f"{path} is {tuple(tensor.shape)}; read are a vector (width,) or rows (layers, width)")
    return list(torch.atleast_2d(tensor))


def _one(path: Path, name: object, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise DirectionError(f"{path}: {clip(name)} is {clip(type(value).__name__)}; read are {_SHAPES}")
    return value.contiguous()


def _name(path: Path, name: Any) -> int | str:
    if not isinstance(name, int | str) or isinstance(name, bool):
        raise DirectionError(f"{path}: {clip(name)} is the name of no layer; read are numbers and texts")
    return name


def _tables(path: Path, tables: Mapping[Any, Mapping[Any, Any]]) -> dict[str, dict[int | str, Tensor]]:
    """Vectors by layer for each label, of vectors by label for each layer."""
    found: dict[str, dict[int | str, Tensor]] = {}
    for layer, table in tables.items():
        for label, value in table.items():
            vectors = found.setdefault(str(_name(path, label)), {})
            vectors[_name(path, layer)] = _one(path, f"{layer}, {label}", value)
    return found
