"""Finished conditions → scores beside their controls: every metric is a ratio of two sums over items.

Intervals are bootstrapped over items, whose lines stand and fall together; a difference resamples the same items on
both sides.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mmsteer.eval.bootstrap import Floats, bootstrap, ratio, ratio_interval
from mmsteer.recipes.scoring import ITEM, Line, Scored
from mmsteer.types import Score

Pair = tuple[float, float]
"""What a line adds to the two sums of a metric."""

Count = Callable[[Line], Pair]
Runs = Sequence[Sequence[Line]]


def share(value: float | None) -> Pair:
    """A mean over items as a ratio of sums; what cannot be told is left out of both."""
    return (0.0, 0.0) if value is None else (float(value), 1.0)


def beside_controls(
    members: Sequence[Scored], counts: Mapping[str, Count], chance: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """The metrics of some conditions, pooled, beside the unsteered run, their controls and chance.

    Args:
        members: Finished conditions.
        counts: What a line adds to the two sums of each metric.
        chance: The values of metrics under guessing.
    """
    steered = [[line for one in members for line in one.lines]]
    unsteered = [[line for one in members for line in one.unsteered or ()]] if members[0].unsteered else []
    controls = {kind: _pooled(members, kind) for kind in members[0].controls}
    items = [line[ITEM] for line in steered[0]]
    return {
        name: _beside(_Metric(count, items), steered, unsteered, controls, (chance or {}).get(name))
        for name, count in counts.items()
    }


class _Metric:
    """A metric on runs over the same items in the same order."""

    def __init__(self, count: Count, items: Sequence[Hashable]) -> None:
        self._count = count
        numbers: dict[Hashable, int] = {}
        self._item = np.array([numbers.setdefault(one, len(numbers)) for one in items])
        self._items = len(numbers)

    def mean(self, runs: Runs) -> Score | None:
        """The metric of a run; of several runs the mean of theirs."""
        if not runs:
            return None
        table = self._table(runs)
        if len(runs) > 1:
            return bootstrap(lambda sums: _ratios(sums).mean(axis=-1), self._summed(table))
        # An item on which nothing can be told is no part of n.
        told = table[:, 1] > 0
        sums = self._summed(table)
        sums = sums[sums[:, 1] > 0]
        score = ratio_interval(sums[:, 0], sums[:, 1], unscored=int((~told).sum()))
        return replace(score, n=int(told.sum()))

    def difference(self, runs: Runs, others: Runs) -> Score | None:
        """The mean metric of some runs less that of others, on the same items."""
        if not runs or not others:
            return None
        table, at = np.concatenate([self._table(runs), self._table(others)], axis=1), len(runs)
        score = bootstrap(
            lambda sums: _ratios(sums)[..., :at].mean(-1) - _ratios(sums)[..., at:].mean(-1), self._summed(table)
        )
        return replace(score, n=len(table)) if score.value is not None else score

    def _table(self, runs: Runs) -> Floats:
        """What each line adds to the two sums of each run, (lines, 2 runs)."""
        pairs = [[self._count(line) for line in lines] for lines in runs]
        return np.array(pairs, dtype=np.float64).transpose(1, 0, 2).reshape(len(pairs[0]), -1)

    def _summed(self, table: Floats) -> Floats:
        """A row for each item, of which several conditions may have a line."""
        if self._items == len(table):
            return table
        sums = np.zeros((self._items, table.shape[1]))
        np.add.at(sums, self._item, table)
        return sums


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


def _ratios(sums: Floats) -> Floats:
    return ratio(sums[..., 0::2], sums[..., 1::2])
