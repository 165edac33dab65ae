"""Cells of a search, and the file that keeps those that are finished."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from mmsteer.errors import DataError
from mmsteer.folders import KeptLines, claimed
from mmsteer.schedules.timeline import number_text
from mmsteer.search.clips import Clips


@dataclass(frozen=True)
class Place:
    """Where and how strongly a direction is added.

    Attributes:
        sites: A selection of sites; empty for no steering.
        strength: At each of them, as a fraction of the residual norm.
        positions: At which tokens.
    """

    sites: str
    strength: float
    positions: str = "all"

    def __str__(self) -> str:
        """What follows the name of a direction in a line of steering."""
        at = "" if self.positions == "all" else f" at {self.positions}"
        return f"{number_text(self.strength)}{at} on {self.sites}"


@dataclass(frozen=True)
class Cell:
    """What steering at one place does.

    Attributes:
        kind: `unsteered`, `cell`, `control`, or `test` and what is tested.
        of: The cell of the grid that it is, or is a control of.
        place: Where and how strongly it steers; a control has a strength of its own at the same price.
        kl: The price: divergence from the unsteered model along its answers, nats a token.
        rewards: One an answer, None where it is blank or cannot be known; empty where the price is far too high.
        answers: What the model wrote, or the files of the clips that it made.
    """

    kind: str
    of: Place
    place: Place
    kl: float
    rewards: tuple[float | None, ...]
    answers: tuple[str, ...]

    @property
    def worth(self) -> float:
        """What cells are compared by: the mean in which an answer without a reward counts as 0."""
        return sum(one or 0.0 for one in self.rewards) / max(1, len(self.rewards))


class CellFile:
    """Finished cells by their kind and place, one JSON line each; in memory where there is no folder.

    Args:
        lines: Where they are kept, `cells.jsonl`; None for memory alone.
        clips: Where the clips that they name are kept; None for text.
    """

    def __init__(self, lines: KeptLines | None, clips: Clips | None = None) -> None:
        self._lines = lines
        self._known: dict[tuple[str, Place], Cell] = {}
        if lines is not None:
            lines.mend()
            there = map(_cell, lines.read())
            self._note([cell for cell in there if clips is None or clips.has(cell.answers)])

    def get(self, kind: str, of: Place) -> Cell | None:
        """A finished cell.

        Args:
            kind: Its kind.
            of: The cell of the grid.
        """
        return self._known.get((kind, of))

    def known(self, kind: str, of: Place) -> Cell:
        """A cell that is finished.

        Args:
            kind: Its kind.
            of: The cell of the grid.
        """
        return self._known[kind, of]

    def add(self, cells: Sequence[Cell]) -> None:
        """Keep cells.

        Args:
            cells: The cells.

        Raises:
            DataError: They cannot be written; the cells before stay.
        """
        if self._lines is not None:
            self._lines.append([_record(cell) for cell in cells])
        self._note(cells)

    def arrange(self, cells: Sequence[Cell]) -> None:
        """Put the file into an order, whoever was first, so that equal searches have equal files.

        Args:
            cells: In order; other cells of earlier searches come first.
        """
        last = {(cell.kind, cell.of): at for at, cell in enumerate(cells)}
        ordered = sorted(self._known.values(), key=lambda cell: last.get((cell.kind, cell.of), -1))
        if self._lines is not None:
            self._lines.finish([_record(cell) for cell in ordered])

    def _note(self, cells: Sequence[Cell]) -> None:
        self._known |= {(cell.kind, cell.of): cell for cell in cells}


@contextmanager
def cell_file(folder: Path | None, settings: Mapping[str, Any], clips: Clips | None) -> Iterator[CellFile]:
    """Finished cells of a folder, which other processes are kept out of.

    Args:
        folder: Holds `search.json`, what the cells depend on, and `cells.jsonl`; None for memory alone.
        settings: What they depend on.
        clips: Where clips are kept; None for text.

    Raises:
        DataError: The folder holds something else, or another process runs there.
    """
    if folder is None:
        yield CellFile(None)
        return
    with claimed(folder, "search.json", settings, "search", DataError) as digests:
        yield CellFile(KeptLines(digests, "cells.jsonl"), clips)


def _record(cell: Cell) -> dict[str, Any]:
    return {
        "kind": cell.kind,
        "of": astuple(cell.of),
        "place": astuple(cell.place),
        "kl": cell.kl,
        "rewards": cell.rewards,
        "answers": cell.answers,
    }


def _cell(line: Mapping[str, Any]) -> Cell:
    of, place = Place(*line["of"]), Place(*line["place"])
    return Cell(line["kind"], of, place, line["kl"], tuple(line["rewards"]), tuple(line["answers"]))
