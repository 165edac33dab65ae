"""What a schedule is, and the algebra on schedules."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsteer.errors import ScheduleError
from mmsteer.schedules.timeline import Moment, Timeline, check_finite, number_text

Array = NDArray[np.float64]
Span = tuple[float, float]

# Bounds on nesting and size, so that no schedule exhausts the stack or the memory of who reads it.
MAX_DEPTH = 64
MAX_NODES = 1000


@dataclass(frozen=True)
class Schedule(ABC):
    """Strength over time. Every schedule is finite, and constant outside [start, stop].

    Schedules are values: they compare, they print as text that `parse_schedule` reads back, and they combine
    by `a * s`, `s + t`, `s - t`, `s * t`, `shift`, `then`, `reverse` and `crossfade`.
    """

    # How tightly the printed form binds: sum 1, number * curve 2, product 3, everything else 4.
    _rank: ClassVar[int] = 4

    @abstractmethod
    def _sample(self, positions: Array, timeline: Timeline) -> Array: ...

    @abstractmethod
    def _span(self, timeline: Timeline) -> Span: ...

    @property
    def _parts(self) -> tuple["Schedule", ...]:
        return ()

    @abstractmethod
    def __str__(self) -> str: ...

    def sample(self, positions: Array, timeline: Timeline) -> Array:
        """The strength at any positions, also between steps and outside the output.

        Args:
            positions: Where, in steps, (n,).
            timeline: The clock of the generation.

        Returns:
            (1, n), or (layers, n) where layers differ.

        Raises:
            ScheduleError: The schedule does not fit the timeline.
        """
        return self._sample(positions, timeline)

    def span(self, timeline: Timeline) -> Span:
        """Start and stop in steps; the schedule is constant before the one and after the other.

        Args:
            timeline: The clock of the generation.

        Raises:
            ScheduleError: The schedule does not fit the timeline.
        """
        return self._span(timeline)

    @property
    def needs_length(self) -> bool:
        """Whether the values inside an output depend on how long it gets.

        One that does not has the same values, step by step, in outputs of any two lengths.
        """
        return self._depends(beyond=False)

    @property
    def is_flat(self) -> bool:
        """Whether the strength is the same at every moment, inside the output and outside."""
        return False

    @abstractmethod
    def _depends(self, *, beyond: bool) -> bool:
        """Whether values depend on the length of the output, where positions past its end are read or are not."""

    @cached_property
    def depth(self) -> int:
        """Levels of nesting; a curve has one."""
        return 1 + max((part.depth for part in self._parts), default=0)

    @cached_property
    def size(self) -> int:
        """Curves and operations, counted with repetition."""
        return 1 + sum(part.size for part in self._parts)

    def values(self, timeline: Timeline) -> Array:
        """The strength at every step.

        Args:
            timeline: The clock of the generation.

        Returns:
            (1, steps), or (layers, steps) where layers differ; float64.

        Raises:
            ScheduleError: The schedule does not fit the timeline, or is not finite on it.
        """
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            values = self.sample(np.arange(timeline.steps, dtype=np.float64), timeline)
        if not np.isfinite(values).all():
            raise ScheduleError(f"schedule {self} grows beyond any number within {timeline.steps} steps")
        return values

    def shift(self, when: Moment) -> "Schedule":
        """The same curve later, or earlier if the moment is negative.

        Args:
            when: How much later.
        """
        return Shifted(self, when)

    def then(self, after: "Schedule", at: Moment) -> "Schedule":
        """This schedule before a moment and another from it on; the other's clock starts there.

        Args:
            after: The schedule that follows.
            at: When it takes over.
        """
        return Then(self, after, at)

    def reverse(self) -> "Schedule":
        """The same values played backwards: the last step's value comes first."""
        return Reversed(self)

    def __add__(self, other: "Schedule | float") -> "Schedule":
        return Sum((*_operands(self, Sum), *_operands(other, Sum)))

    __radd__ = __add__

    def __mul__(self, other: "Schedule | float") -> "Schedule":
        if isinstance(other, Schedule):
            return Product((*_operands(self, Product), *_operands(other, Product)))
        return Scaled(other, self)

    __rmul__ = __mul__

    def __neg__(self) -> "Schedule":
        return Scaled(-1, self)

    def __sub__(self, other: "Schedule | float") -> "Schedule":
        return self + (-other)

    def __rsub__(self, other: float) -> "Schedule":
        return Sum((Constant(other), -self))


@dataclass(frozen=True)
class Constant(Schedule):
    """The same strength at every step.

    Attributes:
        value: The strength.
    """

    value: float = 1.0

    def __post_init__(self) -> None:
        check_finite(self.value, "a constant schedule")

    def _sample(self, positions: Array, timeline: Timeline) -> Array:
        return np.full((1, len(positions)), self.value, dtype=np.float64)

    def _span(self, timeline: Timeline) -> Span:
        return 0.0, float(timeline.steps)

    @property
    def is_flat(self) -> bool:
        """Always."""
        return True

    def _depends(self, *, beyond: bool) -> bool:
        return False

    def __str__(self) -> str:
        return f"constant({number_text(self.value)})"


@dataclass(frozen=True)
class _Composite(Schedule):
    """A schedule made of others, of bounded size."""

    def __post_init__(self) -> None:
        if not self._parts:
            raise ScheduleError(f"a {type(self).__name__.lower()} of no schedules has no value")
        if self.depth > MAX_DEPTH or self.size > MAX_NODES:
            raise ScheduleError(
                f"a schedule has at most {MAX_DEPTH} levels and {MAX_NODES} parts, this one {self.depth} and "
                f"{self.size}; draw it as points(...) instead"
            )

    def _span(self, timeline: Timeline) -> Span:
        spans = [part.span(timeline) for part in self._parts]
        return min(start for start, _ in spans), max(stop for _, stop in spans)

    @property
    def is_flat(self) -> bool:
        """Where all its parts are."""
        return all(part.is_flat for part in self._parts)

    def _depends(self, *, beyond: bool) -> bool:
        return any(part._depends(beyond=beyond) for part in self._parts)


@dataclass(frozen=True)
class Sum(_Composite):
    """Schedules added up.

    Attributes:
        terms: What is added.
    """

    terms: tuple[Schedule, ...]
    _rank: ClassVar[int] = 1

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return self.terms

    def _sample(self, positions: Array, timeline: Timeline) -> Array:
        return sum((term.sample(positions, timeline) for term in self.terms), np.zeros((1, 1)))

    def __str__(self) -> str:
        head, *tail = self.terms
        return _bracket(head, 1) + "".join(_signed(term) for term in tail)


@dataclass(frozen=True)
class Product(_Composite):
    """Schedules multiplied, such as a curve and a gate.

    Attributes:
        factors: What is multiplied.
    """

    factors: tuple[Schedule, ...]
    _rank: ClassVar[int] = 3

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return self.factors

    def _sample(self, positions: Array, timeline: Timeline) -> Array:
        return math.prod((factor.sample(positions, timeline) for factor in self.factors), start=np.ones((1, 1)))

    def __str__(self) -> str:
        return "*".join(_bracket(factor, 3) for factor in self.factors)


@dataclass(frozen=True)
class Scaled(_Composite):
    """A schedule times a number."""

    factor: float
    inner: Schedule
    _rank: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_finite(self.factor, "a factor")
        super().__post_init__()

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return (self.inner,)

    @property
    def is_flat(self) -> bool:
        """Where its inner schedule is, or nothing is left of it."""
        return not self.factor or self.inner.is_flat

    def _depends(self, *, beyond: bool) -> bool:
        return bool(self.factor) and self.inner._depends(beyond=beyond)

    def _sample(self, positions: Array, timeline: Timeline) -> Array:
        return self.factor * self.inner.sample(positions, timeline)

    def __str__(self) -> str:
        return f"{number_text(self.factor)}*{_bracket(self.inner, 2)}"


@dataclass(frozen=True)
class Shifted(_Composite):
    """A schedule that comes later.

    `when`: how much later; negative is earlier.
    """

    inner: Schedule
    when: Moment

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return (self.inner,)

    def _depends(self, *, beyond: bool) -> bool:
        moves = self.when.needs_length and not self.inner.is_flat
        return moves or self.inner._depends(beyond=beyond or self.when.amount < 0)

    def _sample(self, positions: Array, timeline: Timeline) -> Array:
        return self.inner.sample(positions - self.when.in_steps(timeline), timeline)

    def _span(self, timeline: Timeline) -> Span:
        start, stop = self.inner.span(timeline)
        when = self.when.in_steps(timeline)
        return start + when, stop + when

    def __str__(self) -> str:
        return f"{_bracket(self.inner, 3)}.shift({self.when})"


@dataclass(frozen=True)
class Then(_Composite):
    """One schedule, and from a moment on another, whose clock starts at that moment."""

    before: Schedule
    after: Schedule
    at: Moment

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return self.before, self.after

    @property
    def is_flat(self) -> bool:
        """Where it goes on as it was."""
        return self.before.is_flat and self.before == self.after

    def _depends(self, *, beyond: bool) -> bool:
        moves = self.at.needs_length and not self.is_flat
        after = self.after._depends(beyond=beyond or self.at.amount < 0)
        return moves or after or self.before._depends(beyond=beyond)

    def _sample(self, positions: Array, timeline: Timeline) -> Array:
        at = self.at.in_steps(timeline)
        before = self.before.sample(positions, timeline)
        return np.where(positions < at, before, self.after.sample(positions - at, timeline))

    def _span(self, timeline: Timeline) -> Span:
        at = self.at.in_steps(timeline)
        start, _ = self.before.span(timeline)
        _, stop = self.after.span(timeline)
        return min(start, at), max(at, at + stop)

    def __str__(self) -> str:
        return f"{_bracket(self.before, 3)}.then({self.after}, {self.at})"


@dataclass(frozen=True)
class Reversed(_Composite):
    """A schedule played backwards."""

    inner: Schedule

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return (self.inner,)

    def _depends(self, *, beyond: bool) -> bool:
        return not self.inner.is_flat

    def _sample(self, positions: Array, timeline: Timeline) -> Array:
        return self.inner.sample(timeline.steps - 1 - positions, timeline)

    def _span(self, timeline: Timeline) -> Span:
        start, stop = self.inner.span(timeline)
        return timeline.steps - 1 - stop, timeline.steps - 1 - start

    def __str__(self) -> str:
        return f"{_bracket(self.inner, 3)}.reverse()"


def crossfade(schedule: Schedule) -> Schedule:
    """The partner of a schedule in a cross-fade: what is missing to 1, so that the two always sum to 1.

    Args:
        schedule: The curve of the one concept.

    Returns:
        The curve of the other concept, `1 - schedule`.

    >>> str(crossfade(Constant(0.25)))
    'constant(1) - constant(0.25)'
    """
    return 1 - schedule


def _operands(value: "Schedule | float", kind: type[Sum] | type[Product]) -> tuple[Schedule, ...]:
    if not isinstance(value, Schedule):
        return (Constant(value),)
    return value._parts if isinstance(value, kind) else (value,)


def _bracket(schedule: Schedule, rank: int) -> str:
    return f"({schedule})" if schedule._rank <= rank else str(schedule)


def _signed(term: Schedule) -> str:
    if not isinstance(term, Scaled) or term.factor >= 0:
        return f" + {_bracket(term, 1)}"
    if term.factor == -1:
        return f" - {_bracket(term.inner, 2)}"
    return f" - {Scaled(-term.factor, term.inner)}"
