"""Files, and ends of files, that are whole or not there."""

import errno
import os
import uuid
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash, meets the old file or the new one, never a part.

    Args:
        path: The file.
        data: Its new content.

    Raises:
        OSError: The folder does not exist or cannot be written, or no file can have the name.
    """
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "a null character in the name")
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            # Without it the name can reach the disk before the bytes do.
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def append_whole(path: Path, size: int, data: bytes) -> None:
    """Write behind the first bytes of a file; where not all can be written, these bytes are all that is left.

    Args:
        path: The file.
        size: How many bytes of it stay; what lies behind them, as a crash leaves it, goes.
        data: What follows them.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("r+b") as file:
        file.truncate(size)
        file.seek(size)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise
