"""How well scores of answers tell which have a concept."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

PREVALENCE = 0.01
"""Share of positives at which F1 is measured, as in AxBench."""

Floats = NDArray[np.float64]


def auroc(scores: ArrayLike, positive: Sequence[bool]) -> float:
    """The probability that a positive scores above a negative; ties count half.

    Args:
        scores: One a sample.
        positive: Which have the concept; some do and some do not.

    >>> auroc([0.9, 0.4, 0.4, 0.1], [True, True, False, False])
    0.875
    """
    mine, others = _sides(scores, positive)
    above = (mine[:, None] > others).mean() + (mine[:, None] == others).mean() / 2
    return float(above)


def f1(scores: ArrayLike, positive: Sequence[bool], threshold: float, prevalence: float = PREVALENCE) -> float:
    """F1 of `score > threshold` where only few samples are positive.

    The rates of the sample are kept and weighed: precision is TPR p / (TPR p + FPR (1 - p)) for the prevalence p.

    Args:
        scores: One a sample.
        positive: Which have the concept.
        threshold: Above it a sample counts as positive.
        prevalence: Share of positives.

    >>> round(f1([2, 2, 2, 0], [True, True, False, False], 1, prevalence=0.5), 3)
    0.8
    """
    mine, others = _sides(scores, positive)
    hits, alarms = float((mine > threshold).mean()) * prevalence, float((others > threshold).mean()) * (1 - prevalence)
    return 2 * hits / (hits + alarms + prevalence) if hits else 0.0


def best_threshold(scores: ArrayLike, positive: Sequence[bool], prevalence: float = PREVALENCE) -> float:
    """The threshold of the largest F1: halfway between two scores.

    Args:
        scores: One a sample.
        positive: Which have the concept.
        prevalence: Share of positives.

    >>> best_threshold([3.0, 2.0, 1.0, 0.0], [True, True, False, False])
    1.5
    """
    values = np.unique(np.asarray(scores, np.float64))
    halfway = (values[1:] + values[:-1]) / 2 if len(values) > 1 else values
    return float(max(halfway, key=lambda one: f1(scores, positive, float(one), prevalence)))


def _sides(scores: ArrayLike, positive: Sequence[bool]) -> tuple[Floats, Floats]:
    values, chosen = np.asarray(scores, np.float64), np.asarray(positive, bool)
    return values[chosen], values[~chosen]
