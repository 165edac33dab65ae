"""Files of strangers: read as data, and refused with one error whatever is wrong. Nothing in them is executed."""

import math
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmsteer.errors import DictionaryError, clip
from mmsteer.json_lines import read_json
from mmsteer.regular_file import open_regular

T = TypeVar("T")
Numbers = dict[str, Tensor]
LEAST_UNPACKED, MOST_RATIO = 64 << 20, 8
"""Bytes that any archive may unpack to, and otherwise how many times its size: trained weights hardly shrink."""

_AGAIN = "fetch it again"
_LAYOUT = "a dictionary of this layout has it as a file"
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
    open_regular(path, DictionaryError, _LAYOUT).close()
    with _readable(path), safe_open(path, framework="pt") as file:
        # Cloned: the file may be replaced while its pages are mapped.
        return {name: file.get_tensor(name).clone() for name in file.keys()}


def read_npz(path: Path) -> Numbers:
    """The arrays of an npz file; objects, which would have to be unpickled, are refused."""
    with _readable(path), _archive(path) as file:
        _check_arrays(path, file)
        arrays = np.load(file, allow_pickle=False)
        return {name: torch.from_numpy(np.ascontiguousarray(arrays[name])) for name in arrays.files}


def read_weights_only(path: Path) -> Numbers:
    """The tensors that `torch.save` wrote; a file that would call anything but tensor constructors is refused.

    Raises:
        DictionaryError: It holds something else than tensors by name.
    """
    with _readable(path), _archive(path) as file:
        values = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(values, dict) or not all(isinstance(value, Tensor) for value in values.values()):
        raise DictionaryError(f"{path} holds no tensors by name; a dictionary's file is its state_dict")
    return {str(name): _plain(path, str(name), value.detach()) for name, value in values.items()}


def _plain(path: Path, name: str, tensor: Tensor) -> Tensor:
    """The tensor, whose numbers are all in the file: an expanded one of a few bytes would fill the memory.

    Raises:
        DictionaryError: It is sparse, nested, without numbers, or larger than what is stored of it.
    """
    if tensor.layout is not torch.strided or tensor.is_nested or tensor.device.type != "cpu":
        kind = "nested" if tensor.is_nested else f"{tensor.layout} on {tensor.device}".removeprefix("torch.")
        raise DictionaryError(f"{path}: {clip(name)} is {kind}; a dictionary has dense tensors, saved from the CPU")
    stored = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > stored:
        raise DictionaryError(
            f"{path}: {clip(name)} is {tuple(tensor.shape)}, of which the file holds {stored} bytes; save it with "
            ".contiguous()"
        )
    return tensor.contiguous()


def _check_arrays(path: Path, file: BinaryIO) -> None:
    """Compare the sizes that the arrays of an npz file claim with those of its members, before anything is allocated.

    Raises:
        DictionaryError: They differ.
    """
    with zipfile.ZipFile(file) as members:
        for one in members.infolist():
            with members.open(one) as member:
                version = np.lib.format.read_magic(member)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, kind = read(member)
                claimed, there = math.prod(shape) * kind.itemsize, one.file_size - member.tell()
            if claimed != there and not kind.hasobject:
                raise DictionaryError(
                    f"{path}: {clip(one.filename)} claims {claimed} bytes, {there} are there; {_AGAIN}"
                )
    file.seek(0)


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


@contextmanager
def _archive(path: Path) -> Iterator[BinaryIO]:
    # Both kinds are zip archives; a bare pickle is turned away before any parser sees it.
    with open_regular(path, DictionaryError, _LAYOUT) as file:
        if file.read(4) != b"PK\x03\x04":
            raise DictionaryError(
                f"{path} is no archive of tensors, but damaged or a bare pickle, which could run any program; it "
                "is not read. Convert it to safetensors where you trust it, or fetch it again"
            )
        with zipfile.ZipFile(file) as members:
            unpacked = sum(one.file_size for one in members.infolist())
        most = max(LEAST_UNPACKED, MOST_RATIO * os.fstat(file.fileno()).st_size)
        if unpacked > most:
            raise DictionaryError(f"{path} unpacks to {unpacked} bytes; at most {most} are read of a file of its size")
        file.seek(0)
        yield file


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    # Every way in which a file cannot be read, as one error.
    try:
        yield
    except pickle.UnpicklingError as cause:
        raise DictionaryError(
            f"{path} is a pickle of more than tensors, which could run any program; it is not read. Convert it "
            f"to safetensors where you trust it ({str(cause).splitlines()[0][:120]})"
        ) from None
    except OSError as cause:
        raise DictionaryError(f"{path} cannot be read: {cause.strerror or cause}") from None
    except (SafetensorError, zipfile.BadZipFile, zipfile.LargeZipFile, EOFError) as cause:
        raise DictionaryError(f"{path} is damaged ({cause}); {_AGAIN}") from None
    except (ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError, MemoryError) as cause:
        # What parsers of malformed JSON, arrays and archives raise.
        told = str(cause).splitlines()[0][:120] if str(cause) else type(cause).__name__
        raise DictionaryError(f"{path} is damaged, or not what its name says ({told}); {_AGAIN}") from None
