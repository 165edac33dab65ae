"""Folders that belong to one piece of work, which goes on there when it is started again."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mmsteer.atomic import write_atomically
from mmsteer.errors import MmsteerError
from mmsteer.folders.digests import Digests, say
from mmsteer.json_lines import read_json
from mmsteer.versions import versions

LOCK = ".lock"
ErrorType = type[MmsteerError]


@contextmanager
def claimed(folder: Path, name: str, settings: Mapping[str, Any], what: str, error: ErrorType) -> Iterator[Digests]:
    """Make a folder this work's own, or find that it is already, and keep other processes out of it.

    Args:
        folder: The folder, which is made where it is missing.
        name: Of the file that says whose it is.
        settings: What the result depends on besides the libraries that make its numbers, as JSON holds it.
        what: What the work is called, such as `search`.
        error: What is raised.

    Yields:
        What its pieces must be; where all was there once, what has been damaged since is said.

    Raises:
        MmsteerError: As `error`: the folder holds something else, another process runs there, or it cannot be written.
    """
    with ExitStack() as stack:
        try:
            make_folder(folder, error)
            if holds_others(folder, name):
                raise error(f"{folder} is not empty and holds no {what}; give a folder that is new or empty")
            stack.enter_context(locked(folder, error))
            _claim(folder, name, {**settings, "packages": versions()}, what, error)
        except OSError as cause:
            raise error(f"{folder} cannot be written: {cause.strerror}; choose another folder") from None
        digests = Digests(folder, error)
        if digests.closed and (damaged := digests.damaged()):
            say(f"{folder}: damaged, and made again: {', '.join(damaged)}")
        yield digests


def make_folder(folder: Path, error: ErrorType) -> None:
    """Make a folder where it is missing.

    Args:
        folder: The folder.
        error: What is raised.

    Raises:
        MmsteerError: As `error`: it is a file.
        OSError: It cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise error(f"{folder} is a file; give a folder that is new or empty")
    folder.mkdir(parents=True, exist_ok=True)


def holds_others(folder: Path, name: str) -> bool:
    """Whether a folder holds files and no work.

    Args:
        folder: The folder.
        name: Of the file that says whose it is; a crash before it had its name leaves a draft of it.
    """
    if (folder / name).is_file():
        return False
    return any(one.name != LOCK and not one.name.startswith(f".{name}.") for one in folder.iterdir())


@contextmanager
def locked(folder: Path, error: ErrorType) -> Iterator[None]:
    """Keep other processes out of a folder; on Windows nothing is kept out.

    Args:
        folder: The folder.
        error: What is raised.

    Raises:
        MmsteerError: As `error`: another process runs there.
        OSError: The lock cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise error(f"another process is running in {folder}; wait for it, or choose another folder") from None
        yield


def _claim(folder: Path, name: str, settings: Mapping[str, Any], what: str, error: ErrorType) -> None:
    path, data = folder / name, (json.dumps(settings, indent=1) + "\n").encode()
    if not path.exists():
        write_atomically(path, data)
        return
    try:
        found = read_json(path, error)
    except error as cause:
        raise error(f"{cause}; move the folder away and start again") from None
    if not isinstance(found, dict):
        raise error(f"{path} is damaged; move the folder away and start again")
    differ = sorted(key for key in {*found, *settings} if found.get(key) != settings.get(key))
    if differ:
        raise error(
            f"{folder} holds another {what}, which differs in {', '.join(differ)}; choose another folder, or remove it"
        )
    if path.read_bytes() != data:
        say(f"{path}: damaged, and made again")
        write_atomically(path, data)
