"""Time: the output's clock, and moments on it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from mmsteer.errors import ScheduleError

Unit = Literal["s", "steps", "%"]


@dataclass(frozen=True)
class Timeline:
    """The clock of one generation.

    Attributes:
        steps: How many steps the output has.
        rate: Steps per second, or None where the output has no duration.
        layers: The model's number of each layer that a schedule may treat differently.
    """

    steps: int
    rate: float | None = None
    layers: Sequence[int] = (0,)

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.layers or min(self.layers) < 0:
            raise ScheduleError(
                f"a timeline has at least one step and one layer, counted from 0, not {self.steps}, {self.layers}"
            )
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ScheduleError(f"a rate is a positive number of steps per second, not {self.rate}")


@dataclass(frozen=True)
class Moment:
    """A point in time, or a length of time: an amount and its unit.

    Attributes:
        amount: How many of the unit; may be negative.
        unit: `s` (seconds), `steps`, or `%` of the output.

    >>> str(seconds(2.5)), percent(50).in_steps(Timeline(300))
    ('2.5s', 150.0)
    """

    amount: float
    unit: Unit

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise ScheduleError(f"no unit {self.unit!r}; choose from {', '.join(get_args(Unit))}")
        check_finite(self.amount, "an amount of time")

    @property
    def needs_length(self) -> bool:
        """Whether where it is depends on how long the output gets; its start does not."""
        return self.unit == "%" and self.amount != 0

    def in_steps(self, timeline: Timeline) -> float:
        """This moment on the clock of a generation, in steps; need not be whole.

        Args:
            timeline: The clock.

        Raises:
            ScheduleError: The moment is in seconds and the output has no duration.
        """
        if self.unit == "s" and timeline.rate is None:
            raise ScheduleError(
                f"{self} is in seconds, but this model's output has no duration; write it in steps, such as "
                "100steps, or as a fraction of the output, such as 50%"
            )
        scale = {"s": timeline.rate or 1.0, "steps": 1.0, "%": timeline.steps / 100}[self.unit]
        count = self.amount * scale
        check_finite(count, f"{self} in steps")
        # Rounded to a millionth of a step: 0.3 s * 50 is 15.000000000000002 otherwise.
        return round(count, 6)

    def __add__(self, other: "Moment") -> "Moment":
        if self.unit != other.unit:
            raise ScheduleError(f"cannot add {self} and {other}: write both in one unit")
        return Moment(self.amount + other.amount, self.unit)

    def __sub__(self, other: "Moment") -> "Moment":
        return self + Moment(-other.amount, other.unit)

    def __str__(self) -> str:
        return f"{number_text(self.amount)}{self.unit}"


def seconds(amount: float) -> Moment:
    """A moment in seconds.

    Args:
        amount: Seconds.
    """
    return Moment(amount, "s")


def steps(amount: float) -> Moment:
    """A moment in steps of the output.

    Args:
        amount: Steps.
    """
    return Moment(amount, "steps")


def percent(amount: float) -> Moment:
    """A moment as a fraction of the output.

    Args:
        amount: Hundredths of the output.
    """
    return Moment(amount, "%")


def check_finite(value: float, what: str) -> None:
    """Refuse NaN and infinity.

    `what`: its name in the message.

    Raises:
        ScheduleError: The number is not finite.
    """
    if not math.isfinite(value):
        raise ScheduleError(f"{what} is {value}; it must be finite")


def number_text(value: float) -> str:
    """The shortest text that reads back as the same float.

    `value`: A finite number.

    >>> number_text(2.0), number_text(0.1)
    ('2', '0.1')
    """
    return repr(float(value)).removesuffix(".0")
