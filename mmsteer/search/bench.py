"""What a search does with its pieces: hand them out, rate what comes back, and keep it."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmsteer.eval.rewards import OutputReward, rate_outputs
from mmsteer.search.cells import Cell, CellFile, Place
from mmsteer.search.clips import Clips
from mmsteer.search.pieces import Dose, Trial, TriedCells, some
from mmsteer.types import Direction
from mmsteer.workers import Workers

BEYOND = 2.0
"""Times the budget: a cell with a higher price is priced alone."""
NOWHERE = Place("", 0.0)


@dataclass(frozen=True, eq=False)
class Bench:
    """What cells are tried with, but for the model.

    Attributes:
        workers: What prices and generates.
        reward: What is wanted of answers.
        budget: Nats a token.
        file: Finished cells.
        clips: Where audio is kept; None for text.
    """

    workers: Workers
    reward: OutputReward
    budget: float
    file: CellFile
    clips: Clips | None = None

    def unsteered(self, trial: Trial, kind: str = "unsteered") -> tuple[Cell, Trial]:
        """The unsteered model, and the trial whose cells are priced along what it put out.

        Args:
            trial: What it is tried on.
            kind: What the cell is called.
        """
        if self.file.get(kind, NOWHERE) is None:
            self._do([TriedCells(kind, None, [(NOWHERE, None)], trial)])
        cell = self.file.known(kind, NOWHERE)
        plain = [self.clips.read(one) if self.clips else one for one in cell.answers]
        return cell, replace(trial, plain=plain)

    def cells(self, direction: Direction, places: Sequence[Place], trial: Trial) -> Iterator[Sequence[Cell]]:
        """Cells of the grid, a few at a time and in order; those that are finished are not done again.

        Args:
            direction: What is steered along.
            places: Where and how strongly.
            trial: What they are tried on.
        """
        return self._finished("cell", direction, [(place, None) for place in places], trial)

    def controls(self, noise: Direction, cells: Sequence[Cell], trial: Trial) -> Iterator[Sequence[Cell]]:
        """A random direction at the sites and prices of cells, a few at a time and in order.

        Args:
            noise: The direction.
            cells: The cells.
            trial: What it is tried on.
        """
        return self._finished("control", noise, [(cell.place, cell.kl) for cell in cells], trial)

    def tested(self, chosen: Sequence[tuple[str, Direction, Place]], trial: Trial) -> list[Cell]:
        """What was chosen on validation rows, on others.

        Args:
            chosen: For each cell what it is called, what is steered along, and where.
            trial: Of rows that chose nothing.
        """
        left = [one for one in chosen if self.file.get(one[0], one[2]) is None]
        self._do([TriedCells(kind, along, [(place, None)], trial) for kind, along, place in left])
        return [self.file.known(kind, place) for kind, _, place in chosen]

    def _finished(
        self, kind: str, direction: Direction, doses: Sequence[Dose], trial: Trial
    ) -> Iterator[Sequence[Cell]]:
        """Cells in the order of their doses, as soon as all before them are finished; kept as soon as they are."""
        groups = deque(some(doses, max(1, trial.batch // len(trial.rows))))
        left = [[dose for dose in group if not self._is_finished(kind, dose)] for group in groups]
        pieces = [TriedCells(kind, direction, group, trial, BEYOND * self.budget) for group in left if group]
        for _ in self._each(pieces):
            while groups and all(self._is_finished(kind, dose) for dose in groups[0]):
                yield [self.file.known(kind, place) for place, _ in groups.popleft()]

    def _is_finished(self, kind: str, dose: Dose) -> bool:
        """Whether nothing is left to do; an earlier, smaller budget may have left out the answers."""
        cell = self.file.get(kind, dose[0])
        return cell is not None and (bool(cell.answers) or cell.kl > BEYOND * self.budget)

    def _do(self, pieces: Sequence[TriedCells]) -> None:
        for _ in self._each(pieces):
            pass

    def _each(self, pieces: Sequence[TriedCells]) -> Iterator[None]:
        """A step before the first piece, and one after each, when its cells are kept."""
        yield
        for piece, found in self.workers.map(pieces):
            self.file.add([self._rated(cell, outputs, piece.trial) for cell, outputs in found])
            yield

    def _rated(self, cell: Cell, outputs: Sequence[Any] | None, trial: Trial) -> Cell:
        if outputs is None:
            return cell
        rate = self.clips.sample_rate if self.clips else None
        rewards = rate_outputs(self.reward, outputs, [row.reference for row in trial.rows], rate)
        answers = [self.clips.keep(one) if self.clips else one for one in outputs]
        return replace(cell, answers=tuple(answers), rewards=tuple(rewards))
