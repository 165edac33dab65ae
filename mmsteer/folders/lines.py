"""Logs whose lines have their digests: what crashes or damage have left is found, and taken away."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mmsteer.atomic import append_whole, write_atomically
from mmsteer.folders.digests import Digests, digest_of, say, whole_lines
from mmsteer.json_lines import parse_json


class KeptLines:
    """A log of JSON objects, a line each.

    Args:
        digests: Of its folder.
        name: Its name there; it may be missing.
    """

    def __init__(self, digests: Digests, name: str) -> None:
        self._digests, self._name, self._path = digests, name, digests.folder / name

    def read(self) -> list[dict[str, Any]]:
        """The lines, each once, but for those that are damaged."""
        return [parse_json(text.decode(), f"{self._path}", self._digests.error) for text in self._sound()]

    def append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines, all or none; a crash leaves at most a part of them.

        Args:
            lines: Plain data.

        Raises:
            MmsteerError: As that of the digests: the disk refuses.
        """
        texts = _texts(lines)
        with self._written():
            # First: a line without a digest is as good as none.
            self._digests.add(f"{self._name}:", texts)
            self._path.touch()
            append_whole(self._path, self._path.stat().st_size, _joined(texts))

    def keep(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Leave only some lines, in this order.

        Args:
            lines: Those that stay.

        Raises:
            MmsteerError: As that of the digests: the disk refuses.
        """
        self._rewrite(_texts(lines))

    def finish(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """The same, and say that all of the folder is there.

        Args:
            lines: Those that stay.

        Raises:
            MmsteerError: As that of the digests: the disk refuses.
        """
        self.keep(lines)
        with self._written():
            self._digests.close()

    def mend(self) -> None:
        """Take away lines that a crash has cut, that are damaged, or that are there twice.

        Raises:
            MmsteerError: As that of the digests: the disk refuses.
        """
        there, sound = whole_lines(self._path), self._sound()
        if len(sound) < len(there):
            say(f"{self._path}: {len(there) - len(sound)} lines are damaged or there twice, and made again")
        if self._path.is_file():
            self._rewrite(sound)

    def _sound(self) -> list[bytes]:
        known = self._digests.lines.get(self._name, set())
        return [text for text in dict.fromkeys(whole_lines(self._path)) if digest_of(text) in known]

    def _rewrite(self, texts: Sequence[bytes]) -> None:
        data = _joined(texts)
        with self._written():
            if not self._path.is_file() or self._path.read_bytes() != data:
                write_atomically(self._path, data)

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as cause:
            raise self._digests.error(
                f"{self._path} cannot be written: {cause.strerror}; what is finished is kept"
            ) from None


def _texts(lines: Sequence[Mapping[str, Any]]) -> list[bytes]:
    return [json.dumps(line, allow_nan=False).encode() for line in lines]


def _joined(texts: Sequence[bytes]) -> bytes:
    return b"".join(text + b"\n" for text in texts)
