"""Finished conditions → scores beside their controls: every metric is a ratio of two sums over items.

Intervals are bootstrapped over items, whose lines stand and fall together. A difference is over the lines that can be
scored on both sides, and resamples the same items on both: answers that a steering suppresses change no difference.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mmsteer.eval.bootstrap import Bools, Floats, bootstrap, ratio, ratio_interval
from mmsteer.recipes.scoring import ITEM, Line, Scored
from mmsteer.types import Score

Pair = tuple[float, float]
"""What a line adds to the two sums of a metric."""

Count = Callable[[Line], Pair | None]
"""None where the line cannot be scored; (0, 0) is a score without weight, such as a caption that mentions nothing."""

Unit = Callable[[Line], Hashable]
Common = Callable[[Line, Line], tuple[Line, Line]]
Runs = Sequence[Sequence[Line]]


def share(value: float | None) -> Pair | None:
    """A mean over items as a ratio of sums."""
    return None if value is None else (float(value), 1.0)


def item_of(line: Line) -> Hashable:
    """The item that a line is about."""
    return line[ITEM]


def as_they_are(line: Line, other: Line) -> tuple[Line, Line]:
    """Two lines of one item, of which nothing has to be left out to compare them."""
    return line, other


def beside_controls(
    members: Sequence[Scored],
    counts: Mapping[str, Count],
    chance: Mapping[str, float] | None = None,
    unit: Unit = item_of,
    common: Common = as_they_are,
) -> dict[str, Any]:
    """The metrics of some conditions, pooled, beside the unsteered run, their controls and chance.

    Args:
        members: Finished conditions.
        counts: What a line adds to the two sums of each metric.
        chance: The values of metrics under guessing.
        unit: What intervals are over: lines of one unit are resampled together.
        common: What two lines of one item have in common, for their difference: without the parts that cannot be scored
            in both.
    """
    steered = [[line for one in members for line in one.lines]]
    unsteered = [[line for one in members for line in one.unsteered or ()]] if members[0].unsteered else []
    controls = {kind: _pooled(members, kind) for kind in members[0].controls}
    units = [unit(line) for line in steered[0]]
    return {
        name: _beside(_Metric(count, units, common), steered, unsteered, controls, (chance or {}).get(name))
        for name, count in counts.items()
    }


class _Metric:
    """A metric on runs over the same lines in the same order."""

    def __init__(self, count: Count, units: Sequence[Hashable], common: Common) -> None:
        self._count, self._common = count, common
        numbers: dict[Hashable, int] = {}
        self._unit = np.array([numbers.setdefault(one, len(numbers)) for one in units])
        self._units = len(numbers)

    def mean(self, runs: Runs) -> Score | None:
        """The metric of a run; of several runs the mean of theirs."""
        if not runs:
            return None
        table = self._table(runs)
        # A line that adds nothing below is no part of n.
        told = table[..., 1] > 0
        sums = self._summed(table, told)
        return _counted(ratio_interval(sums[..., 0], sums[..., 1]), told)

    def difference(self, runs: Runs, others: Runs) -> Score | None:
        """How far the metric of some runs is above that of others, each pair of runs on the lines scored in both."""
        if not runs or not others:
            return None
        pairs = np.stack([self._pair(run, other) for run in runs for other in others], axis=1)
        told = np.isfinite(pairs.sum(axis=(2, 3)))
        sums = self._summed(pairs, told)

        def change(flat: Floats) -> Floats:
            side = flat.reshape(*flat.shape[:-1], -1, 2, 2)
            values = ratio(side[..., 0], side[..., 1])
            return (values[..., 0] - values[..., 1]).mean(axis=-1)

        return _counted(bootstrap(change, sums.reshape(len(sums), 4 * sums.shape[1])), told)

    def _pair(self, run: Sequence[Line], other: Sequence[Line]) -> Floats:
        """What each line adds on both sides of a difference, (lines, sides, 2)."""
        sides = zip(*map(self._common, run, other), strict=True)
        return self._table(list(sides))

    def _table(self, runs: Runs) -> Floats:
        """What each line adds to the two sums of each run, (lines, runs, 2); NaN where it cannot be scored."""
        pairs = [[self._count(line) or (np.nan, np.nan) for line in lines] for lines in runs]
        return np.array(pairs, dtype=np.float64).transpose(1, 0, 2)

    def _summed(self, table: Floats, told: Bools) -> Floats:
        """What is told of each unit, of which there may be several lines; units without any are left out."""
        known = np.where(told.reshape(*told.shape, *[1] * (table.ndim - told.ndim)), table, 0.0)
        sums = np.zeros((self._units, *table.shape[1:]))
        np.add.at(sums, self._unit, known)
        return sums[np.unique(self._unit[told.any(axis=1)])]


def _counted(score: Score, told: Bools) -> Score:
    """A score with its count of lines; of several runs, that of the run with the fewest.

    `told`: which lines each run counts, (lines, runs).
    """
    n = int(told.sum(axis=0).min())
    return replace(score, n=0 if score.value is None else n, unscored=len(told) - n)


def _pooled(members: Sequence[Scored], kind: str) -> Runs:
    """The runs of one kind of control, each over the items of all members."""
    runs = zip(*(one.controls[kind] for one in members), strict=True)
    return [[line for lines in run for line in lines] for run in runs]


def _beside(
    metric: _Metric, steered: Runs, unsteered: Runs, controls: Mapping[str, Runs], chance: float | None
) -> dict[str, Any]:
    found = {
        "steered": _json(metric.mean(steered)),
        "unsteered": _json(metric.mean(unsteered)),
        "difference": _json(metric.difference(steered, unsteered)),
        "chance": chance,
    }
    for kind, runs in controls.items():
        found |= {
            kind: _json(metric.mean(runs)),
            f"{kind}_difference": _json(metric.difference(runs, unsteered)),
            f"against_{kind}": _json(metric.difference(steered, runs)),
        }
    return found


def _json(score: Score | None) -> dict[str, Any] | None:
    return None if score is None else score.to_json()
