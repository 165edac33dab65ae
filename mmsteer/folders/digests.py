"""What each piece of a folder must be: `digests.txt`, which `sha256sum` would write much alike.

A line is `<sha256>  <file>` for a whole file, of which the last one counts, or `<sha256>  <log>:` for one line of a
log. A finished folder ends with `<sha256>  *`, of all the text before.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from mmsteer.atomic import write_atomically
from mmsteer.errors import MmsteerError
from mmsteer.json_lines import read_text

DIGESTS = "digests.txt"
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


class Digests:
    """The digests of one folder.

    Args:
        folder: The folder.
        error: What is raised.

    Attributes:
        folder: The folder.
        error: What is raised.
        files: For the name of each file what it must be.
        lines: For the name of each log the digests of its lines.
        closed: Whether all of the folder was there once, and nothing came since.

    Raises:
        MmsteerError: As `error`: the file of digests is no text.
    """

    def __init__(self, folder: Path, error: type[MmsteerError]) -> None:
        self.folder, self.error = folder, error
        self.files: dict[str, str] = {}
        self.lines: dict[str, set[str]] = {}
        path = folder / DIGESTS
        text = read_text(path, error) if path.exists() else ""
        # A damaged line is as good as none.
        for line in text.split("\n"):
            found = _LINE.fullmatch(line)
            if found:
                self._take(found[2], found[1])
        before, _, end = text.removesuffix("\n").rpartition("\n")
        self.closed = end == _closing(f"{before}\n")

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        """Say what a file, or lines that come to a log, will be.

        `name`: the file, or the log with a colon behind it.
        `pieces`: the file's content, or the lines.
        """
        found = [digest_of(piece) for piece in pieces]
        self._write("".join(f"{one}  {name}\n" for one in found))
        for one in found:
            self._take(name, one)

    def close(self) -> None:
        """Say that all of the folder is there: what is there now is what must be there."""
        files = sorted(self.files.items())
        text = "".join(f"{digest}  {name}\n" for name, digest in files if (self.folder / name).is_file())
        for log in sorted(self.lines):
            text += "".join(f"{digest_of(line)}  {log}:\n" for line in whole_lines(self.folder / log))
        write_atomically(self.folder / DIGESTS, f"{text}{_closing(text)}\n".encode())

    def fits(self, name: str) -> bool:
        """Whether a file is what it must be."""
        path = self.folder / name
        return name in self.files and path.is_file() and digest_of(path.read_bytes()) == self.files[name]

    def damaged(self) -> list[str]:
        """The files that are not what they must be, and the logs that lack a line; also of closed folders inside."""
        there = {log: set(map(digest_of, whole_lines(self.folder / log))) for log in self.lines}
        files = [name for name in self.files if not self.fits(name)]
        inside = [Path(name).parent for name in self.files if Path(name).name == DIGESTS]
        files += [f"{part}/{name}" for part in inside for name in Digests(self.folder / part, self.error).damaged()]
        return files + [log for log, wanted in self.lines.items() if wanted - there[log]]

    def _take(self, name: str, digest: str) -> None:
        if name.endswith(":"):
            self.lines.setdefault(name[:-1], set()).add(digest)
        elif name != "*":
            self.files[name] = digest

    def _write(self, text: str) -> None:
        with (self.folder / DIGESTS).open("a+b") as file:
            # Where a crash has cut the last line, the next one begins anew.
            if file.tell():
                file.seek(-1, os.SEEK_END)
                text = text if file.read(1) == b"\n" else f"\n{text}"
            file.write(text.encode())
            file.flush()


def _closing(text: str) -> str:
    return f"{digest_of(text.encode())}  *"


def digest_of(data: bytes) -> str:
    """SHA-256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def whole_lines(log: Path) -> list[bytes]:
    """The lines of a log that have an end.

    `log`: the file; it may be missing.
    """
    return log.read_bytes().split(b"\n")[:-1] if log.is_file() else []


def say(text: str) -> None:
    """Say on standard error what was found.

    `text`: a line.
    """
    print(text, file=sys.stderr)
