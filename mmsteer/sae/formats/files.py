"""Files of strangers: read as data, and refused with one error whatever is wrong. Nothing in them is executed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from mmsteer import tensor_files
from mmsteer.errors import DictionaryError, clip
from mmsteer.json_lines import read_json
from mmsteer.tensor_files import Numbers

T = TypeVar("T")
_AGAIN = "fetch it again"
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class Config:
    """A JSON object whose entries have a known type, or the file is refused."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        """Take an object that was read."""
        self.path, self.values = path, values

    @classmethod
    def read(cls, path: Path) -> "Config":
        """Read a file.

        Raises:
            DictionaryError: It cannot be read, or holds no JSON object.
        """
        values = read_json(path, DictionaryError)
        if not isinstance(values, dict):
            raise DictionaryError(f"{path} holds no JSON object but a {type(values).__name__}; {_AGAIN}")
        return cls(path, values)

    def get(self, name: str, kind: type[T], default: T | None = None) -> T:
        """One entry.

        Args:
            name: Its name.
            kind: Its type; a number is never true or false.
            default: What a file that leaves it out means; None where it must be there.

        Raises:
            DictionaryError: It is missing or of another type.
        """
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise DictionaryError(f"{self.path}: {name!r} is {clip(value)}; it must be there, of type {kind.__name__}")
        return value

    def section(self, name: str) -> "Config":
        """An object inside this one."""
        return Config(self.path, self.get(name, dict))

    def refuse(self, name: str, *accepted: object, why: str) -> None:
        """Refuse the file where an entry asks for what a dictionary here does not do.

        `why`: what cannot be done, and what to do about it.

        Raises:
            DictionaryError: It has another value.
        """
        value = self.values.get(name)
        if value is not None and not any(value is one or value == one for one in accepted):
            raise DictionaryError(f"{self.path}: {name!r} is {clip(value)}: {why}")


def read_safetensors(path: Path) -> Numbers:
    """The tensors of a safetensors file, as they are stored."""
    return tensor_files.read_safetensors(path, DictionaryError)


def read_npz(path: Path) -> Numbers:
    """The arrays of an npz file; objects, which would have to be unpickled, are refused."""
    return tensor_files.read_npz(path, DictionaryError)


def read_weights_only(path: Path) -> Numbers:
    """The tensors that `torch.save` wrote; nothing that it names is called.

    Raises:
        DictionaryError: It holds something else than tensors by name.
    """
    values = tensor_files.read_pt(path, DictionaryError)
    if not isinstance(values, dict) or not all(isinstance(value, Tensor) for value in values.values()):
        raise DictionaryError(f"{path} holds no tensors by name; a dictionary's file is its state_dict")
    return {str(name): value.contiguous() for name, value in values.items()}


def take(
    path: Path, tensors: Mapping[str, Tensor], names: Mapping[str, int], *, spare: tuple[str, ...] = ()
) -> Numbers:
    """The tensors that a layout needs, each with its number of dimensions; a file with others is another layout.

    `names`: what is needed, with the number of dimensions of each.
    `spare`: what may be there beside them, and is not looked at.

    Raises:
        DictionaryError: One is missing, not of floating point, of another shape, not finite, or unknown.
    """
    missing, unknown = sorted(names.keys() - tensors.keys()), sorted(tensors.keys() - names.keys() - set(spare))
    if missing or unknown:
        raise DictionaryError(
            f"{path} lacks {missing or 'nothing'} and has {unknown or 'nothing'} too many; expected {sorted(names)}"
        )
    for name, ndim in names.items():
        tensor = tensors[name]
        if tensor.ndim != ndim or tensor.dtype not in _FLOATS:
            found = f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
            raise DictionaryError(f"{path}: {name!r} is {found}; it has {ndim} dimensions of floating point")
        if not torch.isfinite(tensor).all():
            raise DictionaryError(f"{path}: {name!r} has numbers that are not finite; the file is damaged, so {_AGAIN}")
    return {name: tensors[name] for name in names}


def check_sizes(path: Path, encoder: Tensor, width: int, features: int) -> None:
    """Refuse weights that are not as large as their configuration says.

    `encoder`: (width, features).

    Raises:
        DictionaryError: They differ.
    """
    if tuple(encoder.shape) != (width, features):
        raise DictionaryError(
            f"{path}: the encoder is {tuple(encoder.shape)}, the configuration says width {width} and {features} "
            f"features; the two files do not belong together, so {_AGAIN}"
        )


def unit_rows(encoder: Tensor, encoder_bias: Tensor, decoder: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same function with decoder rows of unit length, their length taken over by the activations.

    Args:
        encoder: (width, features).
        encoder_bias: (features,).
        decoder: (features, width).

    Raises:
        DictionaryError: The shapes do not fit.
    """
    if encoder.shape != decoder.shape[::-1] or encoder_bias.shape != decoder.shape[:1]:
        raise DictionaryError(
            f"encoder {tuple(encoder.shape)}, encoder_bias {tuple(encoder_bias.shape)} and decoder "
            f"{tuple(decoder.shape)} do not fit; it must be (width, features), (features,) and (features, width)"
        )
    norms = decoder.norm(dim=1).clamp(min=1e-8)
    return encoder * norms, encoder_bias * norms, decoder / norms[:, None]


def at_path(path: Path, build: Callable[[], T]) -> T:
    """What `build` makes, its errors with the name of the file before them.

    Raises:
        DictionaryError: As `build` does.
    """
    try:
        return build()
    except DictionaryError as cause:
        raise DictionaryError(f"{path}: {cause}") from None
