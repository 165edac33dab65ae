"""Files of tensors of any origin: read as data, and refused with one error whatever is wrong; nothing is executed."""

import math
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmsteer.errors import MmsteerError, clip
from mmsteer.regular_file import open_regular
from mmsteer.torch_archive import read_archive

Numbers = dict[str, Tensor]
ErrorType = type[MmsteerError]
LEAST_UNPACKED, MOST_RATIO = 64 << 20, 8
"""Bytes that any archive may unpack to, and otherwise how many times its size: trained weights hardly shrink."""

_AGAIN = "fetch it again"
# What parsers of malformed JSON, arrays and archives raise.
_MALFORMED = (
    *(ValueError, RuntimeError, LookupError, TypeError, AttributeError, MemoryError, ArithmeticError),
    *(SyntaxError, TokenError, struct.error),
)
_ADVICE = "give the file of tensors itself"


def read_safetensors(path: Path, error: ErrorType) -> Numbers:
    """The tensors of a safetensors file, as they are stored.

    Args:
        path: The file.
        error: What is raised.

    Raises:
        MmsteerError: As `error`: it cannot be read, or is damaged.
    """
    open_regular(path, error, _ADVICE).close()
    with readable(path, error), safe_open(path, framework="pt") as file:
        # Cloned: the file may be replaced while its pages are mapped.
        return {name: file.get_tensor(name).clone() for name in file.keys()}


def read_npz(path: Path, error: ErrorType) -> Numbers:
    """The arrays of an npz file; objects, which would have to be unpickled, are refused.

    Args:
        path: The file.
        error: What is raised.

    Raises:
        MmsteerError: As `error`: it cannot be read, is damaged, or claims other sizes than it has.
    """
    with readable(path, error), _archive(path, error) as file:
        _check_arrays(path, file, error)
        arrays = np.load(file, allow_pickle=False)
        return {name: torch.from_numpy(np.ascontiguousarray(arrays[name])) for name in arrays.files}


def read_npy(path: Path, error: ErrorType) -> Tensor:
    """The array of an npy file; one of objects, which would have to be unpickled, is refused.

    Args:
        path: The file.
        error: What is raised.

    Raises:
        MmsteerError: As `error`: it cannot be read, is damaged, or claims another size than it has.
    """
    with readable(path, error), open_regular(path, error, _ADVICE) as file:
        claimed, kind = _claimed(file)
        there = os.fstat(file.fileno()).st_size - file.tell()
        if claimed != there and not kind.hasobject:
            raise error(f"{path} claims {claimed} bytes, {there} are there; {_AGAIN}")
        file.seek(0)
        return torch.from_numpy(np.ascontiguousarray(np.load(file, allow_pickle=False)))


def read_pt(path: Path, error: ErrorType) -> Any:
    """What `torch.save` wrote: tensors, and lists and dictionaries of them.

    Nothing that it names is called; a file of anything else is refused.

    Args:
        path: The file.
        error: What is raised.

    Raises:
        MmsteerError: As `error`: it cannot be read, is damaged, is a pickle of more than tensors, or holds less than
            its tensors claim.
    """
    with readable(path, error), _archive(path, error) as file:
        return read_archive(path, file, _most(file), error)


def _check_arrays(path: Path, file: BinaryIO, error: ErrorType) -> None:
    """Compare the sizes that the arrays of an npz file claim with those of its members, before anything is allocated.

    Raises:
        MmsteerError: As `error`: they differ.
    """
    with zipfile.ZipFile(file) as members:
        for one in members.infolist():
            with members.open(one) as member:
                claimed, kind = _claimed(member)
                there = one.file_size - member.tell()
            if claimed != there and not kind.hasobject:
                raise error(f"{path}: {clip(one.filename)} claims {claimed} bytes, {there} are there; {_AGAIN}")
    file.seek(0)


def _claimed(file: Any) -> tuple[int, np.dtype[Any]]:
    """How many bytes an array's header claims, and of what; the file stands behind the header then.

    Raises:
        ValueError: The header is malformed.
    """
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            shape, _, kind = read(file)
        except Warning as doubt:  # NumPy repairs headers of Python 2, reads names of old types, and says so
            raise ValueError(str(doubt)) from None
    return math.prod(shape) * kind.itemsize, kind


@contextmanager
def _archive(path: Path, error: ErrorType) -> Iterator[BinaryIO]:
    # Both kinds are zip archives; a bare pickle is turned away before any parser sees it.
    with open_regular(path, error, _ADVICE) as file:
        if file.read(4) != b"PK\x03\x04":
            raise error(
                f"{path} is no archive of tensors, but damaged or a bare pickle, which could run any program; it "
                "is not read. Convert it to safetensors where you trust it, or fetch it again"
            )
        with zipfile.ZipFile(file) as members:
            unpacked = sum(one.file_size for one in members.infolist())
        if unpacked > _most(file):
            raise error(f"{path} unpacks to {unpacked} bytes; at most {_most(file)} are read of a file of its size")
        file.seek(0)
        yield file


def _most(archive: BinaryIO) -> int:
    return max(LEAST_UNPACKED, MOST_RATIO * os.fstat(archive.fileno()).st_size)


@contextmanager
def readable(path: Path, error: ErrorType) -> Iterator[None]:
    """Every way in which a parser of tensors fails on a file, as one error.

    Args:
        path: The file.
        error: What is raised.

    Raises:
        MmsteerError: As `error`: it cannot be read.
    """
    try:
        yield
    except pickle.UnpicklingError as cause:
        raise error(
            f"{path} is a pickle of more than tensors, which could run any program; it is not read. Convert it "
            f"to safetensors where you trust it ({str(cause).splitlines()[0][:120]})"
        ) from None
    except OSError as cause:
        raise error(f"{path} cannot be read: {cause.strerror or cause}") from None
    except (SafetensorError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError) as cause:
        raise error(f"{path} is damaged ({cause}); {_AGAIN}") from None
    except _MALFORMED as cause:
        told = str(cause).splitlines()[0][:120] if str(cause) else type(cause).__name__
        raise error(f"{path} is damaged, or not what its name says ({told}); {_AGAIN}") from None
