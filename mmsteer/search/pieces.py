"""The pieces of a search: some cells that are priced, and tried where they are not far too dear."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from mmsteer.calibrate import divergence_along
from mmsteer.errors import DataError
from mmsteer.search.cells import Cell, Place
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.tasks import Row, digest
from mmsteer.types import Adapter, Direction, Positions, Sampling
from mmsteer.workers import Held

PRICED = 8
"""Unsteered answers along which a cell is priced, at most."""
CORRECTIONS, LONGEST_STEP = 3, 2.0
"""Steps from a cell's strength to the one at which a random direction costs as much; the longest, as a logarithm."""
TINY = 1e-9
"""The smallest price, so that it has a logarithm."""
MEASURE = "the measure of a search"
"""What a worker keeps from piece to piece: the unsteered model's tokens, and for which trial."""

Item = TypeVar("Item")
Measure = Callable[[Steering], Tensor]
Dose = tuple[Place, float | None]
"""A cell of the grid; and the price that its strength is to be changed to, None to leave it."""
Tried = tuple[Cell, Sequence[Any] | None]
"""A cell without its answers; and its outputs, None where it was priced alone."""


@dataclass(frozen=True, eq=False)
class Trial:
    """What cells are tried on, and how.

    Attributes:
        rows: Prompts.
        sampling: How answers are sampled.
        batch: Answers that are generated together.
        seed: The first row's; the next ones follow.
        plain: The unsteered model's outputs for these rows, along which cells are priced; None until they are known.
    """

    rows: Sequence[Row]
    sampling: Sampling
    batch: int
    seed: int
    plain: Sequence[Any] | None = None

    @cached_property
    def key(self) -> str:
        """What prices depend on besides the model, as a hash."""
        found = sha256(f"{digest(self.rows)} {self.sampling}".encode())
        for output in self.plain or ():
            found.update(b"\0" + (output.tobytes() if isinstance(output, np.ndarray) else str(output).encode()))
        return found.hexdigest()

    def price(self, held: Held, steering: Steering) -> float:
        """Divergence from the unsteered model along its own outputs, nats a token.

        Args:
            held: Whose model is steered.
            steering: How.

        Raises:
            DataError: It has put out nothing.
        """
        known = held.kept.get(MEASURE)
        if known is None or known[0] != self.key:
            known = held.kept[MEASURE] = (self.key, self._measure(held.adapter))
        return max(float(known[1](steering).double().mean()), TINY)

    def _measure(self, adapter: Adapter) -> Measure:
        pairs = zip(self.rows, self.plain or (), strict=True)
        answered = [
            replace(row.sample(adapter), output=output)
            for row, output in pairs
            if output is not None and not (isinstance(output, str) and not output)
        ]
        if not answered:
            raise DataError("the unsteered model gives no answer to any row, so nothing can be priced along them")
        guidance = self.sampling.filled(adapter.sampling).guidance or 1.0
        return divergence_along(adapter, answered[:PRICED], guidance=guidance, steps=adapter.steps(self.sampling))

    def generated(self, adapter: Adapter, steerings: Sequence[Steering]) -> Iterator[Any]:
        """Outputs to all rows under each steering, of which several share a batch.

        Args:
            adapter: The model.
            steerings: One after the other.

        Yields:
            Text or audio.
        """
        jobs = [(steering, row, at) for steering in steerings for at, row in enumerate(self.rows)]
        for part in some(jobs, self.batch):
            samples = [replace(row.sample(adapter), id=str(at)) for at, (_, row, _) in enumerate(part)]
            with steer(adapter, [steering for steering, _, _ in part]):
                made = adapter.generate(samples, self.sampling, [self.seed + at for _, _, at in part])
            yield from (one.output for one in made)


@dataclass(frozen=True, eq=False)
class TriedCells:
    """Price cells, and try those that are not far too dear, in batches together.

    Attributes:
        kind: What the cells are called.
        direction: What is steered along; None for the unsteered model.
        doses: Where and how strongly.
        trial: On what.
        dear: The price beyond which a cell is priced alone.
    """

    kind: str
    direction: Direction | None
    doses: Sequence[Dose]
    trial: Trial
    dear: float = math.inf

    def do(self, held: Held) -> list[Tried]:
        """The cells."""
        priced = [self._priced(held, *dose) for dose in self.doses]
        steerings = [self._steering(cell.place) for cell in priced if cell.kl <= self.dear]
        outputs = some(list(self.trial.generated(held.adapter, steerings)), len(self.trial.rows))
        return [(cell, next(outputs) if cell.kl <= self.dear else None) for cell in priced]

    def _priced(self, held: Held, place: Place, target: float | None) -> Cell:
        """A cell without its answers, at its own strength or at the one that costs as much as is asked."""
        if self.direction is None:
            return Cell(self.kind, place, place, 0.0, (), ())
        found, price = place, self.trial.price(held, self._steering(place))
        slope = 2.0  # of the logarithms: the price grows about as the square of the strength, and then saturates
        for _ in range(CORRECTIONS if target else 0):
            step = min(max(math.log((target or 0.0) / price) / slope, -LONGEST_STEP), LONGEST_STEP)
            found = replace(found, strength=round(found.strength * math.exp(step), 6))
            before, price = price, self.trial.price(held, self._steering(found))
            slope = min(max(math.log(price / before) / step, 0.5), 3.0) if step else slope
        return Cell(self.kind, place, found, price, (), ())

    def _steering(self, place: Place) -> Steering:
        if self.direction is None:
            return Steering()
        attribute = Attribute(self.direction, place.strength, positions=Positions(place.positions), sites=place.sites)
        return Steering((attribute,))

    def __str__(self) -> str:
        return f"{self.kind}, {self.doses[0][0]}"


def some(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Items a few at a time.

    Yields:
        Parts in order.
    """
    for start in range(0, len(items), size):
        yield items[start : start + size]
