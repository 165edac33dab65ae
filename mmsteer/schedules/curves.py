"""Closed forms and drawn curves."""

import itertools
import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from mmsteer.errors import ScheduleError
from mmsteer.schedules.schedule import Array, Schedule, Span
from mmsteer.schedules.timeline import Moment, Timeline, check_finite, number_text, percent, steps

OUTPUT_START = percent(0)
OUTPUT_STOP = percent(100)
FIRST_STEP = steps(0)


@dataclass(frozen=True)
class _Curve(Schedule):
    """A formula between a start and a stop; outside it holds the value it has there."""

    @abstractmethod
    def _formula(self, positions: Array, timeline: Timeline) -> Array:
        """The strength at positions inside the span, (n,)."""

    def _sample(self, positions: Array, timeline: Timeline) -> Array:
        start, stop = self.span(timeline)
        return self._formula(np.clip(positions, start, stop), timeline)[None]


@dataclass(frozen=True)
class Linear(_Curve):
    """A straight ramp.

    Attributes:
        start: Where the ramp begins.
        stop: Where it ends.
        first: Strength up to the start.
        last: Strength from the stop on.
    """

    start: Moment = OUTPUT_START
    stop: Moment = OUTPUT_STOP
    first: float = 0.0
    last: float = 1.0

    def __post_init__(self) -> None:
        check_finite(self.first, "the first value")
        check_finite(self.last, "the last value")

    @property
    def is_flat(self) -> bool:
        """Where it ends at the strength at which it begins."""
        return self.first == self.last

    def _depends(self, *, beyond: bool) -> bool:
        return not self.is_flat and _any_depends(self.start, self.stop)

    def _span(self, timeline: Timeline) -> Span:
        return _resolve(self.start, self.stop, timeline)

    def _formula(self, positions: Array, timeline: Timeline) -> Array:
        start, stop = self.span(timeline)
        return self.first + (self.last - self.first) * ((positions - start) / (stop - start))

    def __str__(self) -> str:
        values = f"{number_text(self.first)}, {number_text(self.last)}"
        return f"linear({_range(self.start, self.stop)}{values})"


def fade_in(start: Moment = OUTPUT_START, stop: Moment = OUTPUT_STOP) -> Linear:
    """A linear ramp from 0 to 1.

    Args:
        start: Where the ramp begins.
        stop: Where it ends.
    """
    return Linear(start, stop, 0.0, 1.0)


def fade_out(start: Moment = OUTPUT_START, stop: Moment = OUTPUT_STOP) -> Linear:
    """A linear ramp from 1 to 0.

    Args:
        start: Where the ramp begins.
        stop: Where it ends.
    """
    return Linear(start, stop, 1.0, 0.0)


@dataclass(frozen=True)
class Exponential(_Curve):
    """Growth or decay from 1 by a constant ratio: `ratio ** ((t - start) / per)`.

    Attributes:
        ratio: The factor that each stretch of time brings; below 1 decays. 0.5 makes `per` the half-life.
        per: The stretch of time.
        start: Where it begins, with strength 1.
        stop: From where on the strength is held.
    """

    ratio: float
    per: Moment
    start: Moment = OUTPUT_START
    stop: Moment = OUTPUT_STOP

    def __post_init__(self) -> None:
        if not 0 < self.ratio < math.inf:
            raise ScheduleError(f"the ratio of an exponential is a positive number, not {self.ratio}")
        _check_length(self.per, "the stretch of time of an exponential")

    def _depends(self, *, beyond: bool) -> bool:
        return _range_depends(self.start, self.stop, beyond) or _any_depends(self.per)

    def _span(self, timeline: Timeline) -> Span:
        return _resolve(self.start, self.stop, timeline)

    def _formula(self, positions: Array, timeline: Timeline) -> Array:
        start, _ = self.span(timeline)
        return np.power(self.ratio, (positions - start) / _length(self.per, timeline))

    def __str__(self) -> str:
        return f"exponential({_range(self.start, self.stop)}{number_text(self.ratio)}, {self.per})"


@dataclass(frozen=True)
class Logistic(_Curve):
    """A smooth step from 0 to 1: `1 / (1 + exp(-(t - middle) / scale))`.

    Attributes:
        middle: Where the strength is one half.
        scale: How slow the step is: it goes from .27 to .73 within two scales.
        start: Before it the strength is held.
        stop: After it the strength is held.
    """

    middle: Moment
    scale: Moment
    start: Moment = OUTPUT_START
    stop: Moment = OUTPUT_STOP

    def __post_init__(self) -> None:
        _check_length(self.scale, "the scale of a logistic")

    def _depends(self, *, beyond: bool) -> bool:
        return _range_depends(self.start, self.stop, beyond) or _any_depends(self.middle, self.scale)

    def _span(self, timeline: Timeline) -> Span:
        return _resolve(self.start, self.stop, timeline)

    def _formula(self, positions: Array, timeline: Timeline) -> Array:
        z = (positions - self.middle.in_steps(timeline)) / _length(self.scale, timeline)
        # exp overflows above 709; the strength is 0 to the last digit there.
        return 1 / (1 + np.exp(np.minimum(-z, 700)))

    def __str__(self) -> str:
        return f"logistic({_range(self.start, self.stop)}{self.middle}, {self.scale})"


@dataclass(frozen=True)
class Sine(_Curve):
    """A wave between 0 and 1, rising from one half: `(1 + sin(2 pi (t - offset) / period)) / 2`.

    Attributes:
        period: Length of one wave.
        offset: Where a wave begins.
        start: Before it the strength is held.
        stop: After it the strength is held.
    """

    period: Moment
    offset: Moment = FIRST_STEP
    start: Moment = OUTPUT_START
    stop: Moment = OUTPUT_STOP

    def __post_init__(self) -> None:
        _check_length(self.period, "the period of a sine")

    def _depends(self, *, beyond: bool) -> bool:
        return _range_depends(self.start, self.stop, beyond) or _any_depends(self.period, self.offset)

    def _span(self, timeline: Timeline) -> Span:
        return _resolve(self.start, self.stop, timeline)

    def _formula(self, positions: Array, timeline: Timeline) -> Array:
        phase = (positions - self.offset.in_steps(timeline)) / _length(self.period, timeline)
        return 0.5 * (1 + np.sin(2 * np.pi * phase))

    def __str__(self) -> str:
        offset = "" if self.offset == FIRST_STEP else f", {self.offset}"
        return f"sine({_range(self.start, self.stop)}{self.period}{offset})"


@dataclass(frozen=True)
class Window(Schedule):
    """1 from the start, included, to the stop, excluded; 0 elsewhere.

    Attributes:
        start: Where it opens.
        stop: Where it closes.
    """

    start: Moment
    stop: Moment

    def _depends(self, *, beyond: bool) -> bool:
        return _range_depends(self.start, self.stop, beyond)

    def _sample(self, positions: Array, timeline: Timeline) -> Array:
        start, stop = self.span(timeline)
        return ((positions >= start) & (positions < stop)).astype(np.float64)[None]

    def _span(self, timeline: Timeline) -> Span:
        return _resolve(self.start, self.stop, timeline)

    def __str__(self) -> str:
        return f"window({self.start}..{self.stop})"


@dataclass(frozen=True)
class Breakpoints(Schedule):
    """A drawn curve: straight lines between points; two points at one moment make a jump.

    Attributes:
        points: Moments in order, each with its strength; where the curve jumps, the later value holds.
    """

    points: tuple[tuple[Moment, float], ...]

    def __post_init__(self) -> None:
        if not self.points:
            raise ScheduleError("a drawn curve needs at least one point, such as points(0s:0, 1s:1)")
        for _, value in self.points:
            check_finite(value, "the value of a point")

    @property
    def is_flat(self) -> bool:
        """Where all its points have one strength."""
        return len({value for _, value in self.points}) == 1

    def _depends(self, *, beyond: bool) -> bool:
        return not self.is_flat and _any_depends(*(moment for moment, _ in self.points))

    def _sample(self, positions: Array, timeline: Timeline) -> Array:
        times = [moment.in_steps(timeline) for moment, _ in self.points]
        for (one, before), (two, after) in itertools.pairwise(zip(self.points, times, strict=True)):
            if after < before:
                raise ScheduleError(f"points go back in time: {two[0]} after {one[0]} on {timeline.steps} steps")
        return np.interp(positions, times, [value for _, value in self.points])[None]

    def _span(self, timeline: Timeline) -> Span:
        return self.points[0][0].in_steps(timeline), self.points[-1][0].in_steps(timeline)

    def __str__(self) -> str:
        return f"points({', '.join(f'{moment}:{number_text(value)}' for moment, value in self.points)})"


def adsr(attack: Moment, decay: Moment, sustain: float, release: Moment, start: Moment, stop: Moment) -> Breakpoints:
    """The envelope of a synthesiser: up to 1, down to a level, held, and down to 0. All times in one unit.

    Args:
        attack: Time from 0 to 1.
        decay: Time from 1 to the sustained level.
        sustain: The level.
        release: Time from the level to 0, up to the stop.
        start: Where the attack begins.
        stop: Where the release ends.

    Raises:
        ScheduleError: The units differ, or the phases do not fit between start and stop.
    """
    top = start + attack
    hold, let_go = top + decay, stop - release
    lengths = (attack.amount, decay.amount, release.amount, let_go.amount - hold.amount)
    if min(lengths) < 0:
        raise ScheduleError(f"attack {attack}, decay {decay} and release {release} do not fit into {start}..{stop}")
    return Breakpoints(((start, 0.0), (top, 1.0), (hold, sustain), (let_go, sustain), (stop, 0.0)))


def _resolve(start: Moment, stop: Moment, timeline: Timeline) -> Span:
    first, last = start.in_steps(timeline), stop.in_steps(timeline)
    if last <= first:
        raise ScheduleError(
            f"{start}..{stop} is empty on an output of {timeline.steps} steps: from step {first:g} to "
            f"step {last:g}; let it stop after its start"
        )
    return first, last


def _range_depends(start: Moment, stop: Moment, beyond: bool) -> bool:
    """Whether the length of the output moves a range, as far as it is read; from 100% on nothing inside is cut off."""
    return start.needs_length or (stop.needs_length and (beyond or stop.amount < 100))


def _any_depends(*moments: Moment) -> bool:
    return any(moment.needs_length for moment in moments)


def _range(start: Moment, stop: Moment) -> str:
    return "" if (start, stop) == (OUTPUT_START, OUTPUT_STOP) else f"{start}..{stop}, "


def _check_length(length: Moment, what: str) -> None:
    if length.amount <= 0:
        raise ScheduleError(f"{what} must be longer than nothing, not {length}")


def _length(length: Moment, timeline: Timeline) -> float:
    count = length.in_steps(timeline)
    if not count:
        raise ScheduleError(f"{length} is less than a millionth of a step; write a longer time")
    return count
