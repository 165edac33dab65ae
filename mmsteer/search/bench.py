"""A model with what cells are tried with: generate, score, price."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from torch import Tensor

from mmsteer.calibrate import divergence_along
from mmsteer.errors import DataError
from mmsteer.eval.rewards import OutputReward, rate_outputs
from mmsteer.search.cells import Cell, CellFile, Place
from mmsteer.search.clips import Clips
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.tasks import Row
from mmsteer.types import Adapter, Direction, Positions, Sampling

PRICED = 8
"""Unsteered answers along which a cell is priced, at most."""
BEYOND = 2.0
"""Times the budget: a cell with a higher price is priced alone."""
CORRECTIONS, LONGEST_STEP = 3, 2.0
"""Steps from a cell's strength to the one at which a random direction costs as much; the longest, as a logarithm."""

TINY = 1e-9
"""The smallest price, so that it has a logarithm."""

Item = TypeVar("Item")
Measure = Callable[[Steering], Tensor]


@dataclass(frozen=True, eq=False)
class Bench:
    """What cells are tried with.

    Attributes:
        adapter: The model.
        reward: What is wanted of answers.
        sampling: How they are sampled.
        batch: Answers that are generated together.
        seed: The first row's; the next ones follow.
        budget: Nats a token.
        file: Finished cells.
        clips: Where audio is kept; None for text.
    """

    adapter: Adapter
    reward: OutputReward
    sampling: Sampling
    batch: int
    seed: int
    budget: float
    file: CellFile
    clips: Clips | None = None
    _measures: dict[str, Measure] = field(default_factory=dict)

    def unsteered(self, rows: Sequence[Row], kind: str = "unsteered") -> Cell:
        """The unsteered model on some rows.

        `kind`: what the cell is called.
        """
        nowhere = Place("", 0.0)
        known = self.file.get(kind, nowhere)
        return known or self._try([Cell(kind, nowhere, nowhere, 0.0, (), ())], [Steering()], rows)[0]

    def cells(self, direction: Direction, places: Sequence[Place], rows: Sequence[Row], plain: Cell) -> list[Cell]:
        """Cells of the grid, those that are not finished yet.

        `direction`: what is steered along.
        `rows`: what they are tried on.
        `plain`: the unsteered model on the same rows.
        """
        return self._finished("cell", places, lambda place: (place, None), direction, rows, plain)

    def controls(self, noise: Direction, cells: Sequence[Cell], rows: Sequence[Row], plain: Cell) -> list[Cell]:
        """A random direction at the sites and prices of cells.

        `rows`: what they are tried on.
        `plain`: the unsteered model on the same rows.
        """
        prices = {cell.place: cell.kl for cell in cells}
        return self._finished("control", list(prices), lambda place: (place, prices[place]), noise, rows, plain)

    def tested(self, kind: str, direction: Direction, place: Place, rows: Sequence[Row], plain: Cell) -> Cell:
        """What was chosen on validation rows, on others.

        Args:
            kind: What the cell is called.
            direction: What is steered along.
            place: Where and how strongly.
            rows: Rows that chose nothing.
            plain: The unsteered model on the same rows.
        """
        known = self.file.get(kind, place)
        if known is not None:
            return known
        steering = self._steering(direction, place)
        return self._try([Cell(kind, place, place, self._price(steering, rows, plain), (), ())], [steering], rows)[0]

    def _finished(
        self,
        kind: str,
        places: Sequence[Place],
        dose: Callable[[Place], tuple[Place, float | None]],
        direction: Direction,
        rows: Sequence[Row],
        plain: Cell,
    ) -> list[Cell]:
        todo = [place for place in places if not self._is_finished(self.file.get(kind, place))]
        priced = [self._priced(kind, direction, *dose(place), rows, plain) for place in todo]
        self.file.add([cell for cell in priced if cell.kl > BEYOND * self.budget])
        affordable = [cell for cell in priced if cell.kl <= BEYOND * self.budget]
        self._try(affordable, [self._steering(direction, cell.place) for cell in affordable], rows)
        return [self.file.known(kind, place) for place in places]

    def _is_finished(self, cell: Cell | None) -> bool:
        """Whether nothing is left to do; an earlier, smaller budget may have left out the answers."""
        return cell is not None and (bool(cell.answers) or cell.kl > BEYOND * self.budget)

    def _priced(
        self, kind: str, direction: Direction, place: Place, target: float | None, rows: Sequence[Row], plain: Cell
    ) -> Cell:
        """A cell without its answers, at its own strength or at the one that costs as much as is asked."""
        found, price = place, self._price(self._steering(direction, place), rows, plain)
        slope = 2.0  # of the logarithms: the price grows about as the square of the strength, and then saturates
        for _ in range(CORRECTIONS if target else 0):
            step = min(max(math.log((target or 0.0) / price) / slope, -LONGEST_STEP), LONGEST_STEP)
            found = replace(found, strength=round(found.strength * math.exp(step), 6))
            before, price = price, self._price(self._steering(direction, found), rows, plain)
            slope = min(max(math.log(price / before) / step, 0.5), 3.0) if step else slope
        return Cell(kind, place, found, price, (), ())

    def _steering(self, direction: Direction, place: Place) -> Steering:
        return Steering(
            (Attribute(direction, place.strength, positions=Positions(place.positions), sites=place.sites),)
        )

    def _price(self, steering: Steering, rows: Sequence[Row], plain: Cell) -> float:
        if plain.kind not in self._measures:
            self._measures[plain.kind] = self._measure(rows, plain)
        return max(float(self._measures[plain.kind](steering).double().mean()), TINY)

    def _measure(self, rows: Sequence[Row], plain: Cell) -> Measure:
        answered = [
            replace(row.sample(self.adapter), output=self.clips.read(answer) if self.clips else answer)
            for row, answer in zip(rows, plain.answers, strict=True)
            if answer
        ]
        if not answered:
            raise DataError("the unsteered model gives no answer to any row, so nothing can be priced along them")
        guidance = self.sampling.filled(self.adapter.sampling).guidance or 1.0
        return divergence_along(self.adapter, answered[:PRICED], guidance=guidance)

    def _try(self, cells: Sequence[Cell], steerings: Sequence[Steering], rows: Sequence[Row]) -> list[Cell]:
        """Cells with their answers and rewards, which are kept at once."""
        jobs = [(steering, row, at) for steering in steerings for at, row in enumerate(rows)]
        outputs = list(self._generate(jobs))
        made = [
            replace(cell, **self._judged(mine, rows))
            for cell, mine in zip(cells, some(outputs, len(rows)), strict=True)
        ]
        self.file.add(made)
        return made

    def _judged(self, outputs: Sequence[Any], rows: Sequence[Row]) -> dict[str, Any]:
        """Answers and rewards of a cell."""
        rate = self.clips.sample_rate if self.clips else None
        rewards = rate_outputs(self.reward, outputs, [row.reference for row in rows], rate)
        answers = [self.clips.keep(one) if self.clips else one for one in outputs]
        return {"answers": tuple(answers), "rewards": tuple(rewards)}

    def _generate(self, jobs: Sequence[tuple[Steering, Row, int]]) -> Iterator[Any]:
        """Answers or clips, of which each has its own steering."""
        for part in some(jobs, self.batch):
            samples = [replace(row.sample(self.adapter), id=str(at)) for at, (_, row, _) in enumerate(part)]
            with steer(self.adapter, [steering for steering, _, _ in part]):
                made = self.adapter.generate(samples, self.sampling, [self.seed + at for _, _, at in part])
            yield from (one.output for one in made)


def some(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Items a few at a time.

    Yields:
        Parts in order.
    """
    for start in range(0, len(items), size):
        yield items[start : start + size]
