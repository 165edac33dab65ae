"""Finished records of concepts and seeds, a line each, so that a run that was stopped goes on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmsteer.atomic import append_whole, write_atomically
from mmsteer.errors import DataError
from mmsteer.json_lines import parse_json


class Kept:
    """Finished records, a line each.

    Args:
        path: The file, which is made where it is missing.

    Attributes:
        done: By concept and seed.
    """

    def __init__(self, path: Path) -> None:
        self.done: dict[tuple[int, int], dict[str, Any]] = {}
        self._path = path
        if not path.exists():
            path.touch()
        data = path.read_bytes()
        # A line that a crash cut off is written again.
        self._size = data.rfind(b"\n") + 1
        for number, line in enumerate(data[: self._size].decode().split("\n")[:-1], 1):
            self._note(parse_json(line, f"{path}:{number}", DataError, numbered=False))

    def arranged(self, order: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """The records of concepts and seeds, and the file put into their order, whoever was first.

        Args:
            order: Concepts and seeds; all are there.
        """
        found = [self.done[key] for key in order]
        lines = b"".join(map(_line, [*(one for key, one in self.done.items() if key not in set(order)), *found]))
        if lines != self._path.read_bytes():
            write_atomically(self._path, lines)
        self._size = len(lines)
        return found

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record.

        Args:
            record: Of a concept and seed.
        """
        line = _line(record)
        append_whole(self._path, self._size, line)
        self._size += len(line)
        self._note(record)

    def _note(self, record: dict[str, Any]) -> None:
        self.done[record["concept"], record["seed"]] = record


def _line(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, allow_nan=False) + "\n").encode()
