"""Opening files of any origin: regular ones alone. A named pipe or a device would block, or never end."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from mmsteer.errors import MmsteerError


def open_regular(path: str | Path, error: type[MmsteerError], advice: str) -> BinaryIO:
    """A regular file to read bytes from; a link to one counts as one.

    Args:
        path: The file.
        error: What is raised.
        advice: What to give instead, for the error.

    Raises:
        MmsteerError: As `error`: it is missing, cannot be read, or is a folder, pipe or device.
    """
    try:
        # A named pipe that nobody writes to would block the opening itself.
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as broken:
        reason = getattr(broken, "strerror", None) or broken
        raise error(f"{path}: cannot be read ({reason}); {advice}") from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise error(f"{path}: no regular file but a folder, pipe or device; {advice}")
    return os.fdopen(file, "rb")
