"""Finished concepts as a table with intervals, beside the order that the paper reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from mmsteer.eval.text import harmonic_mean
from mmsteer.types import Score, mean_score

PAPER: Mapping[str, tuple[float | None, float | None]] = {
    "diff-mean": (0.942, 0.239),
    "probe": (0.940, 0.098),
    "reft-r1": (0.938, 0.543),
    "sae-a": (0.917, 0.157),
    "ssv": (0.912, 0.026),
    "lat": (0.712, 0.127),
    "pca": (0.652, 0.105),
    "prompt": (0.929, 0.894),
    "loreft": (None, 0.741),
    "lora": (None, 0.615),
}
"""Detection AUROC and steering score of each method, means over Gemma-2 2B and 9B.

Source: Wu et al. 2025, AxBench, arXiv:2501.17148, tables 1 and 2.
"""
AXES = ("concept", "instruction", "fluency")


@dataclass(frozen=True)
class Row:
    """One method over all concepts.

    Attributes:
        method: Its name.
        auroc: Of detection; None where it detects nothing.
        f1: Of detection, at a prevalence of 1 %.
        overall: Harmonic mean of the three ratings, 0 to 2.
        axes: Each rating by name, 0 to 2.
        factor: Median of the chosen factors.
        unscored: Answers that a judge did not rate.
    """

    method: str
    auroc: Score | None
    f1: Score | None
    overall: Score
    axes: Mapping[str, Score]
    factor: float
    unscored: int


@dataclass(frozen=True)
class Results:
    """The table.

    Attributes:
        rows: The methods, the best steering first.
        concepts: How many concepts.
        seeds: How many seeds.
        records: What it was made of.
    """

    rows: tuple[Row, ...]
    concepts: int
    seeds: int
    records: Sequence[Mapping[str, Any]]

    def order(self, what: str) -> list[str]:
        """Methods that the paper and this table share, best first.

        Args:
            what: `auroc` or `overall`.
        """
        scored = {row.method: getattr(row, what) for row in self.rows}
        known = {name: one.value for name, one in scored.items() if one is not None and one.value is not None}
        return sorted(known, key=lambda name: -known[name])


def paper_order(what: str, methods: Sequence[str]) -> list[str]:
    """Some methods in the order of the paper, best first; those that it does not report are left out.

    Args:
        what: `auroc` or `overall`.
        methods: Names of methods.
    """
    at = ("auroc", "overall").index(what)
    told = {name: PAPER[name][at] for name in methods if name in PAPER}
    known = {name: value for name, value in told.items() if value is not None}
    return sorted(known, key=lambda name: -known[name])


def agreement(mine: Sequence[str], theirs: Sequence[str]) -> tuple[int, int]:
    """Of all pairs of methods that both orders have, how many stand the same way round.

    Args:
        mine: An order.
        theirs: Another.

    >>> agreement(["a", "b", "c"], ["a", "c", "b"])
    (2, 3)
    """
    shared = [name for name in mine if name in theirs]
    pairs = [(one, other) for at, one in enumerate(shared) for other in shared[at + 1 :]]
    return sum(theirs.index(one) < theirs.index(other) for one, other in pairs), len(pairs)


def summarise(records: Sequence[Mapping[str, Any]]) -> Results:
    """The table of some records; intervals are bootstrapped over concepts.

    Args:
        records: As `run` returns them.
    """
    methods = list(records[0]["methods"])
    rows = sorted((_row(name, records) for name in methods), key=lambda row: -(row.overall.value or 0.0))
    concepts, seeds = ({record[key] for record in records} for key in ("concept", "seed"))
    return Results(tuple(rows), len(concepts), len(seeds), records)


def _row(method: str, records: Sequence[Mapping[str, Any]]) -> Row:
    mine = [(record["concept"], record["methods"][method]) for record in records]
    detected = [(concept, one["detection"]) for concept, one in mine if one["detection"] is not None]
    answers = [(concept, answer) for concept, one in mine for answer in one["answers"]]
    groups = [concept for concept, _ in answers]
    overall = mean_score([harmonic_mean([one[axis] for axis in AXES]) for _, one in answers], groups=groups)
    return Row(
        method,
        _detected("auroc", detected),
        _detected("f1", detected),
        overall,
        {axis: mean_score([one[axis] for _, one in answers], groups=groups) for axis in AXES},
        median(one["factor"] for _, one in mine),
        overall.unscored,
    )


def _detected(what: str, detected: Sequence[tuple[int, Mapping[str, float]]]) -> Score | None:
    if not detected:
        return None
    return mean_score([one[what] for _, one in detected], groups=[concept for concept, _ in detected])
