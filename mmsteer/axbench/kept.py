"""Finished records of concepts and seeds, a line each, so that a run that was stopped goes on."""

from collections.abc import Sequence
from typing import Any

from mmsteer.folders import KeptLines


class Kept:
    """Finished records, a line each.

    Args:
        lines: Where they are.

    Attributes:
        done: By concept and seed.
    """

    def __init__(self, lines: KeptLines) -> None:
        self._lines = lines
        lines.mend()
        self.done = {(record["concept"], record["seed"]): record for record in lines.read()}

    def arranged(self, order: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """The records of concepts and seeds, and the file put into their order, whoever was first.

        Args:
            order: Concepts and seeds; all are there.
        """
        found = [self.done[key] for key in order]
        self._lines.finish([*(one for key, one in self.done.items() if key not in set(order)), *found])
        return found

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record.

        Args:
            record: Of a concept and seed.
        """
        self._lines.append([record])
        self.done[record["concept"], record["seed"]] = record
