"""Cells of a search, and the file that keeps those that are finished."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from mmsteer.atomic import append_whole, write_atomically
from mmsteer.claim import claim
from mmsteer.errors import DataError
from mmsteer.json_lines import parse_json
from mmsteer.schedules.timeline import number_text


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
        folder: Holds `search.json`, what the cells depend on, and `cells.jsonl`.
        settings: What they depend on.

    Raises:
        DataError: The folder holds another search.
    """

    def __init__(self, folder: Path | None, settings: Mapping[str, Any]) -> None:
        self._path = None if folder is None else folder / "cells.jsonl"
        self._known: dict[tuple[str, Place], Cell] = {}
        self._size = 0
        if folder is not None:
            claim(folder, "search.json", settings, "search", DataError)
            self._read(folder / "cells.jsonl")

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
            DataError: They cannot be written.
        """
        lines = "".join(map(_line, cells)).encode()
        if self._path is not None:
            try:
                append_whole(self._path, self._size, lines)
            except OSError as cause:
                raise DataError(f"{self._path} cannot be written: {cause}; the cells before stay") from None
        self._size += len(lines)
        self._known |= {(cell.kind, cell.of): cell for cell in cells}

    def arrange(self, cells: Sequence[Cell]) -> None:
        """Put the file into an order, whoever was first, so that equal searches have equal files.

        Args:
            cells: In order; other cells of earlier searches come first.
        """
        last = {(cell.kind, cell.of): at for at, cell in enumerate(cells)}
        ordered = sorted(self._known.values(), key=lambda cell: last.get((cell.kind, cell.of), -1))
        lines = "".join(map(_line, ordered)).encode()
        if self._path is not None and lines != self._path.read_bytes():
            write_atomically(self._path, lines)
        self._size = len(lines)

    def _read(self, path: Path) -> None:
        path.touch()
        data = path.read_bytes()
        # A line that a crash cut off is written again.
        self._size = data.rfind(b"\n") + 1
        for number, line in enumerate(data[: self._size].decode().split("\n")[:-1], 1):
            cell = _cell(parse_json(line, f"{path}:{number}", numbered=False))
            self._known[cell.kind, cell.of] = cell


def _line(cell: Cell) -> str:
    told = {
        "kind": cell.kind,
        "of": astuple(cell.of),
        "place": astuple(cell.place),
        "kl": cell.kl,
        "rewards": cell.rewards,
        "answers": cell.answers,
    }
    return json.dumps(told, allow_nan=False) + "\n"


def _cell(line: Mapping[str, Any]) -> Cell:
    of, place = Place(*line["of"]), Place(*line["place"])
    return Cell(line["kind"], of, place, line["kl"], tuple(line["rewards"]), tuple(line["answers"]))
