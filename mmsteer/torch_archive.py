"""Archives that `torch.save` wrote, read step by step: of all that a pickle can ask for, tensors are made, and no more.

Each step of the pickle costs time and memory by its own length: lists and dictionaries are written out where they
stand, keys are texts and numbers, and a tensor's numbers are in the file.
"""

import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from mmsteer.errors import MmsteerError, clip

MAX_PICKLE = 2**20
"""Bytes of the pickle, which names the tensors; their numbers lie beside it."""

_TYPED = {
    **{"Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16},
    **{"Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8},
    **{"Bool": torch.bool, "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64},
}
_STORAGES = {f"torch.{name}Storage": dtype for name, dtype in _TYPED.items()}
_STORAGES["torch.storage.UntypedStorage"] = torch.uint8
_NEW = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)
_DTYPES = {str(dtype): dtype for dtype in (*_TYPED.values(), *_NEW, torch.uint16, torch.uint32, torch.uint64)}

_LITERALS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE")
_MADE: Mapping[str, Callable[[], Any]] = {
    **{"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple},
    **{"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False},
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class _Name:
    """A class or function that the pickle names."""

    name: str


@dataclass(frozen=True, eq=False)
class _Storage:
    """The numbers of one member of the archive."""

    numbers: Tensor


class TorchArchive:
    """One reading of an archive."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, most: int, error: type[MmsteerError]) -> None:
        """Find the pickle.

        Args:
            path: The file, for errors.
            archive: The same, open.
            most: Bytes that its tensors have, all together.
            error: What is raised.

        Raises:
            MmsteerError: As `error`: there is no pickle, or one without measure.
        """
        self._path, self._archive, self._left, self._error = path, archive, most, error
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise error(f"{path} is no archive of torch.save: it has {len(pickles)} members data.pkl")
        self._pickle, self._folder = pickles[0], pickles[0].removesuffix("data.pkl")
        size = archive.getinfo(self._pickle).file_size
        if size > MAX_PICKLE:
            raise error(f"{path}: its pickle has {size} bytes; at most {MAX_PICKLE} are read of one that names tensors")
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._storages: dict[str, _Storage] = {}

    def read(self) -> Any:
        """What was saved."""
        order = f"{self._folder}byteorder"
        if order in self._archive.namelist() and self._archive.read(order) != b"little":
            raise self._error(f"{self._path} was written by a big-endian machine; convert it to safetensors there")
        for opcode, value, _ in pickletools.genops(self._archive.read(self._pickle)):
            self._step(opcode.name, value)
        (found,) = self._stack
        return found

    def _step(self, name: str, value: Any) -> None:
        if name in _LITERALS:
            self._stack.append(value)
        elif name in _MADE:
            self._stack.append(_MADE[name]())
        elif name in _TUPLES:
            self._stack.append(tuple(self._taken(_TUPLES[name])))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[value] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._again(self._memo[value]))
        elif name in _STEPS:
            _STEPS[name](self)
        elif name == "GLOBAL":
            self._stack.append(_named(value.replace(" ", ".", 1)))
        elif name not in ("PROTO", "STOP"):
            raise pickle.UnpicklingError(f"the step {name}, of which tensors have no need")

    def _taken(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise ValueError("a step lacks what it is about")
        taken = self._stack[-count:]
        del self._stack[-count:]
        return taken

    def _again(self, value: Any) -> Any:
        # A list that stands in many places, of lists that do, is one without end.
        if isinstance(value, list | dict | tuple):
            raise self._error(f"{self._path} has one {type(value).__name__} in two places; write each out")
        return self._counted(value) if isinstance(value, Tensor) else value

    def _mark(self) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _tuple(self) -> None:
        items = self._since_mark()
        self._stack.append(tuple(items))

    def _append(self) -> None:
        self._extend(self._taken(1))

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise pickle.UnpicklingError("something is appended that is no list")
        self._stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        into = self._stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            # A key's hash takes as long as all that is within it.
            if not isinstance(into, dict) or not isinstance(key, str | int | float):
                raise pickle.UnpicklingError("a key that is neither a text nor a number")
            if isinstance(key, int) and key.bit_length() > 63:
                raise pickle.UnpicklingError("a key of more than 63 bits")
            into[key] = value

    def _call(self) -> None:
        called, given = self._taken(2)
        if not isinstance(called, _Name) or called.name not in _CALLS or not isinstance(given, tuple):
            raise pickle.UnpicklingError("something is called that makes no tensor")
        made = _CALLS[called.name](*given)
        self._stack.append(self._counted(made) if isinstance(made, Tensor) else made)

    def _build(self) -> None:
        # What `state_dict` notes about versions of modules.
        self._taken(1)
        if not isinstance(self._stack[-1], dict):
            raise pickle.UnpicklingError("an object with attributes")

    def _storage(self) -> None:
        ((kind, name, key, _, count),) = self._taken(1)
        if kind != "storage" or not (isinstance(name, _Name) and isinstance(key, str) and isinstance(count, int)):
            raise ValueError("a storage that is none")
        if key not in self._storages:
            self._storages[key] = self._read(f"{self._folder}data/{key}", _STORAGES[name.name], count)
        self._stack.append(self._storages[key])

    def _read(self, member: str, dtype: torch.dtype, count: int) -> _Storage:
        there = self._archive.getinfo(member).file_size
        if count * dtype.itemsize != there:
            raise self._error(
                f"{self._path}: {clip(member)} claims {clip(count * dtype.itemsize)} bytes, {there} are there"
            )
        data = bytearray(self._archive.read(member))
        return _Storage(torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype))

    def _counted(self, tensor: Tensor) -> Tensor:
        """The tensor; what all have together is limited, for each may be copied."""
        size, stored = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
        if size > stored:
            raise self._error(
                f"{self._path}: a tensor is {tuple(tensor.shape)}, of which the file holds {stored} bytes; save it "
                "with .contiguous()"
            )
        self._left -= size
        if self._left < 0:
            raise self._error(f"{self._path}: its tensors have the same numbers too often; save each with .clone()")
        return tensor


_STEPS: Mapping[str, Callable[[TorchArchive], None]] = {
    "MARK": TorchArchive._mark,
    "TUPLE": TorchArchive._tuple,
    "APPEND": TorchArchive._append,
    "APPENDS": lambda read: read._extend(read._since_mark()),
    "SETITEM": lambda read: read._set(read._taken(2)),
    "SETITEMS": lambda read: read._set(read._since_mark()),
    "REDUCE": TorchArchive._call,
    "BUILD": TorchArchive._build,
    "BINPERSID": TorchArchive._storage,
}


def _named(name: str) -> Any:
    if name in _DTYPES:
        return _DTYPES[name]
    if name not in _CALLS and name not in _STORAGES:
        raise pickle.UnpicklingError(f"it names {clip(name)}")
    return _Name(name)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *about: Any) -> Tensor:
    """A view of the stored numbers; `about`: gradient, hooks, and for later dtypes which it is.

    Raises:
        ValueError: It is none, or reaches beyond them.
        UnpicklingError: Its numbers stand for others.
    """
    if not isinstance(storage, _Storage) or not _are_counts((offset,)) or not _are_counts(size, stride):
        raise ValueError("a tensor that is none")
    dtype = about[2] if len(about) > 2 and isinstance(about[2], torch.dtype) else None
    if len(about) > 2 and not dtype and about[2]:
        raise pickle.UnpicklingError("a tensor that stands for others (conjugated or negated)")
    numbers = storage.numbers.view(dtype) if dtype else storage.numbers
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if math.prod(size) >= 2**60 or (math.prod(size) and last >= len(numbers)):
        raise ValueError("a tensor reaches beyond its numbers")
    return numbers.as_strided(size, stride, offset)


def _are_counts(*several: Any) -> bool:
    return all(
        isinstance(counts, tuple) and len(counts) <= 64 and all(type(one) is int and 0 <= one < 2**60 for one in counts)
        for counts in several
    )


_CALLS: Mapping[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "collections.OrderedDict": lambda: {},
    "torch.Size": lambda sizes: sizes,
    "torch.device": lambda *place: place,
}


def read_archive(path: Path, file: BinaryIO, most: int, error: type[MmsteerError]) -> Any:
    """What `torch.save` wrote: tensors, plain values, and lists and dictionaries of them.

    Args:
        path: The file, for errors.
        file: The same, open.
        most: Bytes that its tensors have, all together.
        error: What is raised.

    Raises:
        MmsteerError: As `error`: something in it grows without measure, or is not there.
    """
    with zipfile.ZipFile(file) as archive:
        return TorchArchive(path, archive, most, error).read()
