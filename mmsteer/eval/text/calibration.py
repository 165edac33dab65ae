"""Accuracy and calibration of multiple choice, from the log-probabilities of the options."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mmsteer.errors import EvalError
from mmsteer.eval.bootstrap import Floats, bootstrap
from mmsteer.types.metric import Metric
from mmsteer.types.score import Score, mean_score

BINS = 15
ACCURACY = Metric("accuracy", "Share of questions whose right option is the most probable.", "higher", "share")
CALIBRATION = Metric(
    "calibration_error", "Mean gap between how probable and how often right the chosen option is.", "lower"
)


@dataclass(frozen=True)
class ChoiceScores:
    """Multiple choice by log-probabilities.

    Attributes:
        accuracy: Mean of `hits`.
        calibration_error: Expected calibration error in `BINS` bins, 0 to 1; lower is better.
        chance: Accuracy of guessing: the mean of one over the number of options.
        hits: One a question: 1 where the right option is the most probable, 1/k where it is one of k that tie, else 0.
        confidence: Probability of the most probable option among the options, one a question.
    """

    accuracy: Score
    calibration_error: Score
    chance: float
    hits: tuple[float, ...]
    confidence: tuple[float, ...]


def choice_scores(log_probs: ArrayLike, right: Sequence[int], *, seed: int = 0) -> ChoiceScores:
    """Accuracy and expected calibration error.

    Probabilities are normalised over a question's options. The calibration error is the mean over questions of
    |accuracy − confidence| of their bin, with 15 bins of equal width, each open below and closed above: ((m−1)/15,
    m/15]. With few questions it is biased upwards.

    Args:
        log_probs: Natural logarithms, one row a question, (n, options); -inf where a question has fewer options.
        right: Column of the right option of each question, (n,).
        seed: Seed of the intervals.

    Raises:
        EvalError: The shapes do not fit, a number is NaN or +inf, or a right option does not exist.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv:1706.04599, section 2.
    """
    table, places = np.asarray(log_probs, dtype=np.float64), np.asarray(right, dtype=np.int64)
    _check(table, places)
    best = table.max(axis=1, keepdims=True)
    weights = np.exp(table - best)
    confidence = 1 / weights.sum(axis=1)
    tied = table == best
    hits = np.where(tied[np.arange(len(table)), places], 1 / tied.sum(axis=1), 0.0)
    return ChoiceScores(
        accuracy=mean_score(hits.tolist(), seed=seed),
        calibration_error=bootstrap(_calibration_error, _bins(hits, confidence), seed=seed),
        chance=float((1 / np.isfinite(table).sum(axis=1)).mean()),
        hits=tuple(hits.tolist()),
        confidence=tuple(confidence.tolist()),
    )


def _check(table: Floats, places: np.ndarray) -> None:
    if table.ndim != 2 or places.shape != table.shape[:1] or not len(table):
        raise EvalError(f"log-probabilities {table.shape} for {places.shape} questions; give (n, options) and (n,)")
    if np.isnan(table).any() or (table == np.inf).any() or not np.isfinite(table).any(axis=1).all():
        raise EvalError(
            "a log-probability is NaN or +inf, or a question has none; leave such questions out and count them"
        )
    if ((places < 0) | (places >= table.shape[1])).any() or not np.isfinite(table[np.arange(len(table)), places]).all():
        raise EvalError("a right option is none of its question's; give columns from 0 whose log-probability is finite")


def _bins(hits: Floats, confidence: Floats) -> Floats:
    """Hits, confidence and number of each question in its bin, (n, 3 * BINS + 1)."""
    rows = np.arange(len(hits))
    place = np.clip(np.ceil(confidence * BINS - 1e-9).astype(int) - 1, 0, BINS - 1)
    table = np.zeros((len(hits), 2 * BINS + 1))
    table[rows, place], table[rows, BINS + place], table[:, -1] = hits, confidence, 1
    return table


def _calibration_error(sums: Floats) -> Floats:
    gaps = np.abs(sums[..., :BINS] - sums[..., BINS:-1])
    return gaps.sum(axis=-1) / sums[..., -1]
