"""The numbers of every step on disk, a line each, written behind the ones before."""

import json
from collections.abc import Mapping
from pathlib import Path

from mmsteer.atomic import append_whole
from mmsteer.errors import ProbeError
from mmsteer.json_lines import parse_json


class StepLog:
    """The numbers of every step, in memory and in a file.

    Args:
        path: A file of JSON lines, which is made where it is missing; None for memory alone.
        done: How many of its lines count; what lies behind them is written over.

    Raises:
        ProbeError: A line that counts cannot be read.
    """

    def __init__(self, path: Path | None, done: int) -> None:
        self.steps: list[dict[str, float]] = []
        self._path, self._size = path, 0
        if path is None:
            return
        if not path.exists():
            path.touch()
        for number, line in enumerate(path.read_bytes().splitlines(keepends=True)[:done], 1):
            self.steps.append(dict(parse_json(line.decode(), f"{path}:{number}", ProbeError, numbered=False)))
            self._size += len(line)

    def add(self, numbers: Mapping[str, float]) -> None:
        """Keep the numbers of the next step.

        Args:
            numbers: Finite numbers by name.
        """
        self.steps.append(dict(numbers))
        if self._path is not None:
            line = (json.dumps(self.steps[-1], allow_nan=False) + "\n").encode()
            append_whole(self._path, self._size, line)
            self._size += len(line)
