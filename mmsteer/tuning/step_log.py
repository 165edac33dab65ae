"""The numbers of every step on disk, a line each, written behind the ones before."""

import hashlib
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
        digest: Of these lines, as `digest` was then.

    Raises:
        ProbeError: The lines that count are not as they were written.
    """

    def __init__(self, path: Path | None, done: int = 0, digest: str = hashlib.sha256().hexdigest()) -> None:
        self.steps: list[dict[str, float]] = []
        self._path, self._size, self._hash = path, 0, hashlib.sha256()
        if path is None:
            return
        if not path.exists():
            path.touch()
        lines = path.read_bytes().split(b"\n")[:done]
        self._count(b"".join(line + b"\n" for line in lines))
        if self.digest != digest:
            raise ProbeError(
                f"{path} is damaged: its first {done} lines are not as they were written; move the folder away and "
                "start again"
            )
        self.steps = [parse_json(line.decode(), f"{path}", ProbeError) for line in lines]

    @property
    def digest(self) -> str:
        """SHA-256 of all lines."""
        return self._hash.hexdigest()

    def add(self, numbers: Mapping[str, float]) -> None:
        """Keep the numbers of the next step.

        Args:
            numbers: Finite numbers by name.
        """
        self.steps.append(dict(numbers))
        if self._path is not None:
            line = (json.dumps(self.steps[-1], allow_nan=False) + "\n").encode()
            append_whole(self._path, self._size, line)
            self._count(line)

    def _count(self, data: bytes) -> None:
        self._hash.update(data)
        self._size += len(data)
