"""The GGUF container, versions 2 and 3, little-endian: texts and numbers by name, and dense tensors.

Source: ggml's docs/gguf.md. Read here and not by the package `gguf`, which trusts the counts and offsets of a file.
"""

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmsteer.errors import DirectionError, clip
from mmsteer.regular_file import open_regular
from mmsteer.tensor_files import readable

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32
MAX_BYTES = 2**30
MOST = 10_000
"""Fields, tensors, and bytes of a name."""
MOST_TEXTS = 2**20
"""Texts of all lists together, which are passed over one by one; the largest vocabularies have some 300,000."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY, _U32 = 8, 9, 4
_LENGTH = struct.Struct("<Q")
_F32 = 0
_TENSORS = {_F32: torch.float32, 1: torch.float16, 30: torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Gguf:
    """The content of a file.

    Attributes:
        fields: Texts and numbers by name; None in the place of lists, which are passed over.
        tensors: By name, in the order of rows that PyTorch has.
    """

    fields: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def read_gguf(path: Path) -> Gguf:
    """Read a file of at most 1 GiB.

    Args:
        path: The file.

    Raises:
        DirectionError: It is too large or damaged, or a tensor is quantised.
    """
    with open_regular(path, DirectionError, "give a .gguf file") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise DirectionError(f"{path} has {size} bytes; at most {MAX_BYTES} are read: is it a whole model?")
        data = file.read(MAX_BYTES)
    with readable(path, DirectionError):
        return _parse(_Cursor(data))


def gguf_bytes(fields: Mapping[str, str | int], tensors: Mapping[str, Tensor]) -> bytes:
    """A file of version 3.

    Args:
        fields: Texts, and whole numbers from 0 to 2³² - 1; `general.architecture` first.
        tensors: One-dimensional, float32.
    """
    infos, data = b"", b""
    for name, tensor in tensors.items():
        infos += _text(name) + struct.pack("<IQIQ", 1, len(tensor), _F32, len(data))
        data += _padded(tensor.numpy().astype("<f4").tobytes())
    head = MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(fields))
    return _padded(head + b"".join(_field(*one) for one in fields.items()) + infos) + data


def _field(name: str, value: str | int) -> bytes:
    if isinstance(value, str):
        return _text(name) + struct.pack("<I", _STRING) + _text(value)
    return _text(name) + struct.pack("<II", _U32, value)


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % ALIGNMENT)


class _Cursor:
    """A place in bytes; what lies behind their end is an error before anything is allocated."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.passed = data, 0, 0

    def take(self, count: int) -> bytes:
        self._pass_bytes(count)
        return self.data[self.at - count : self.at]

    def number(self, kind: str) -> Any:
        return struct.unpack("<" + kind, self.take(struct.calcsize("<" + kind)))[0]

    def count(self, what: str) -> int:
        found = int(self.number("Q"))
        if found > MOST:
            raise ValueError(f"it claims {found} {what}; at most {MOST} are read")
        return found

    def text(self) -> str:
        return self.take(self.number("Q")).decode()

    def value(self) -> Any:
        kind = self.number("I")
        if kind == _ARRAY:
            return self._pass_list()
        return self._scalar(kind)

    def _scalar(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind not in _SCALARS:
            raise ValueError(f"a field of the unknown type {kind}")
        return self.number(_SCALARS[kind])

    def _pass_list(self) -> None:
        kind, count = self.number("I"), self.number("Q")
        if kind in _SCALARS:
            self._pass_bytes(count * struct.calcsize("<" + _SCALARS[kind]))
            return
        if kind != _STRING:
            raise ValueError(f"a list of the unknown type {kind}")  # lists within lists are in no file of vectors
        self.passed += count
        if self.passed > MOST_TEXTS:
            raise ValueError(f"its lists claim {self.passed} texts; at most {MOST_TEXTS} are passed over")
        for _ in range(count):
            self._pass_bytes(_LENGTH.size + _LENGTH.unpack_from(self.data, self.at)[0])

    def _pass_bytes(self, count: int) -> None:
        if count > len(self.data) - self.at:
            raise ValueError(f"{count} bytes are claimed at byte {self.at}, {len(self.data) - self.at} are there")
        self.at += count


@dataclass(frozen=True)
class _Info:
    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


def _parse(cursor: _Cursor) -> Gguf:
    if cursor.take(4) != MAGIC:
        raise ValueError("it does not begin with GGUF")
    version = cursor.number("I")
    if version not in (2, 3):
        raise ValueError(f"version {version}; read are 2 and 3, little-endian")
    tensors, count = cursor.count("tensors"), cursor.count("fields")
    fields = {cursor.text(): cursor.value() for _ in range(count)}
    infos = [_info(cursor) for _ in range(tensors)]
    if len({one.name for one in infos}) != len(infos):
        raise ValueError("two tensors have one name")
    start = _start(cursor.at, fields.get("general.alignment", ALIGNMENT))
    return Gguf(fields, _tensors(cursor.data, start, infos))


def _info(cursor: _Cursor) -> _Info:
    name, dimensions = cursor.text(), cursor.number("I")
    if dimensions > 4:
        raise ValueError(f"{clip(name)} has {dimensions} dimensions; at most 4 are possible")
    # The first of GGUF's is that along which numbers lie side by side: the last of PyTorch's.
    shape = tuple(reversed([cursor.number("Q") for _ in range(dimensions)]))
    return _Info(name, shape, cursor.number("I"), cursor.number("Q"))


def _start(at: int, alignment: Any) -> int:
    if not isinstance(alignment, int) or not 0 < alignment <= 2**20:
        raise ValueError(f"an alignment of {clip(alignment)}")
    return at + -at % alignment


def _tensors(data: bytes, start: int, infos: list[_Info]) -> dict[str, Tensor]:
    quantised = next((one for one in infos if one.kind not in _TENSORS), None)
    if quantised:
        kind = f"{clip(quantised.name)} is quantised (type {quantised.kind})"
        raise ValueError(f"{kind}; float32, float16 and bfloat16 are read")
    claimed = sum(one.numbers * _TENSORS[one.kind].itemsize for one in infos)
    if claimed > len(data):
        raise ValueError(f"its tensors claim {claimed} bytes, the file has {len(data)}")
    return {one.name: _tensor(data, start, one) for one in infos}


def _tensor(data: bytes, start: int, info: _Info) -> Tensor:
    kind = _TENSORS[info.kind]
    first = start + info.offset
    last = first + info.numbers * kind.itemsize
    if last > len(data):
        raise ValueError(f"{clip(info.name)} ends at byte {last}, the file at {len(data)}")
    if not info.numbers:
        raise ValueError(f"{clip(info.name)} is empty")
    return torch.frombuffer(bytearray(data[first:last]), dtype=kind).reshape(info.shape)
