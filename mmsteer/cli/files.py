"""Files that commands write: never over another file unasked, and whole or not at all."""

import os
from pathlib import Path

from mmsteer.errors import DataError


def check_out(out: Path, force: bool, *read: Path | None) -> None:
    """Refuse a file that cannot be written, before the work.

    `read`: files that the command reads.

    Raises:
        DataError: It is there already, is read, is a folder, or its folder is missing.
    """
    if os.path.isdir(out):
        raise DataError(f"{out} is a folder; name a file in it")
    if os.path.exists(out) and not force:
        raise DataError(f"{out} exists; choose another name, or give --force to overwrite it")
    if not os.path.isdir(out.parent):
        raise DataError(f"there is no folder {out.parent}; make it first")
    check_unread(out, *read)


def check_unread(out: Path, *read: Path | None) -> None:
    """Refuse a file that the command reads, by whatever name.

    `read`: files that the command reads; they may be missing.

    Raises:
        DataError: It is one of them.
    """
    if os.path.exists(out) and any(one and os.path.exists(one) and out.samefile(one) for one in read):
        raise DataError(f"{out} is a file that is read; give another name, or it would be lost")


def write_out(out: Path, data: bytes) -> None:
    """Write a file; where that fails, what was there before stays.

    Raises:
        DataError: It cannot be written.
    """
    from mmsteer.atomic import write_atomically

    try:
        write_atomically(out, data)
    except OSError as cause:
        raise DataError(f"{out} cannot be written: {cause}") from None
