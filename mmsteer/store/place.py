"""Where a store lies: a folder, or an address that fsspec opens, such as `s3://bucket/run`."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from safetensors import safe_open
from safetensors.torch import load
from torch import Tensor

from mmsteer.atomic import append_whole, write_atomically
from mmsteer.errors import StoreError

_DRAFTS = ".*.tmp"
_PROTOCOL = "://"


class Place(Protocol):
    """The files of a store, by name. What cannot be read or written is an `OSError`."""

    @property
    def name(self) -> "Path | str":
        """What it is called."""

    def begin(self) -> bool:
        """Make the place ready for a new store; False where it holds something else."""

    def tidy(self) -> None:
        """Take away what a process that was killed has left half written."""

    def stamp(self, file: str) -> Any:
        """What changes whenever a file is replaced; None where there is no file."""

    def read(self, file: str) -> bytes:
        """The content of a file."""

    def write(self, file: str, data: bytes) -> None:
        """Write a file; whole or not at all."""

    def append(self, file: str, size: int, data: bytes) -> None:
        """Write behind the first bytes of a file, and nothing else behind them."""

    def digest(self, file: str) -> str:
        """SHA-256 of a file."""

    def tensors(self, file: str, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """Tensors of a file, one at a time."""


def place_of(folder: str | os.PathLike[str]) -> Place:
    """Where a store lies.

    Args:
        folder: A folder, or an address with a protocol.
    """
    return Bucket(folder) if isinstance(folder, str) and _PROTOCOL in folder else Folder(Path(folder))


class Folder:
    """A folder of this machine.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.name = path

    def begin(self) -> bool:
        """See `Place.begin`."""
        path = self.name
        if os.path.exists(path) and (not os.path.isdir(path) or set(path.iterdir()) - set(path.glob(_DRAFTS))):
            return False
        path.mkdir(parents=True, exist_ok=True)
        return True

    def tidy(self) -> None:
        """See `Place.tidy`."""
        for draft in self.name.glob(_DRAFTS):
            draft.unlink()

    def stamp(self, file: str) -> Any:
        """See `Place.stamp`."""
        try:
            stat = (self.name / file).stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def read(self, file: str) -> bytes:
        """See `Place.read`."""
        return (self.name / file).read_bytes()

    def write(self, file: str, data: bytes) -> None:
        """See `Place.write`."""
        write_atomically(self.name / file, data)

    def append(self, file: str, size: int, data: bytes) -> None:
        """See `Place.append`."""
        append_whole(self.name / file, size, data)

    def digest(self, file: str) -> str:
        """See `Place.digest`."""
        with (self.name / file).open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()

    def tensors(self, file: str, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """See `Place.tensors`."""
        with safe_open(self.name / file, framework="pt") as opened:
            yield from ((name, opened.get_tensor(name)) for name in names)


class Bucket:
    """An address that fsspec opens; its store is to write objects whole, as S3, GCS and Azure do.

    Nothing there can be lengthened, so that the manifest is written anew with each shard: take shards of hundreds of
    samples or more.

    Args:
        address: Such as `s3://bucket/run`.

    Raises:
        StoreError: fsspec knows no such protocol, or needs a package that is not installed.
    """

    def __init__(self, address: str) -> None:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        try:
            self._files, self._root = url_to_fs(address)
        except (ImportError, ValueError) as cause:
            raise StoreError(f"{address}: fsspec cannot open it ({cause})") from None
        self.name = address.rstrip("/")

    def begin(self) -> bool:
        """See `Place.begin`."""
        self._files.invalidate_cache()
        if self._files.exists(self._root) and self._files.ls(self._root, detail=False):
            return False
        self._files.makedirs(self._root, exist_ok=True)
        return True

    def tidy(self) -> None:
        """See `Place.tidy`: objects are whole or not there."""

    def stamp(self, file: str) -> Any:
        """See `Place.stamp`."""
        self._files.invalidate_cache()
        try:
            return self._files.ukey(self._at(file))
        except OSError:
            return None

    def read(self, file: str) -> bytes:
        """See `Place.read`."""
        found: bytes = self._files.cat_file(self._at(file))
        return found

    def write(self, file: str, data: bytes) -> None:
        """See `Place.write`."""
        self._files.pipe_file(self._at(file), data)

    def append(self, file: str, size: int, data: bytes) -> None:
        """See `Place.append`."""
        self.write(file, self.read(file)[:size] + data)

    def digest(self, file: str) -> str:
        """See `Place.digest`."""
        return hashlib.sha256(self.read(file)).hexdigest()

    def tensors(self, file: str, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """See `Place.tensors`."""
        found = load(self.read(file))
        yield from ((name, found[name]) for name in names)

    def _at(self, file: str) -> str:
        return f"{self._root}/{file}"


@contextmanager
def nothing_lost(place: Place) -> Iterator[None]:
    """Errors of writing, in words.

    Args:
        place: What is written to.

    Raises:
        StoreError: It cannot be written.
    """
    try:
        yield
    except OSError as cause:
        reason = cause.strerror or cause
        raise StoreError(f"{place.name} cannot be written: {reason}; nothing recorded before is lost") from cause
