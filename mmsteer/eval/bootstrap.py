"""Confidence intervals of what is computed from sums: precision, F1, CHAIR, recall.

A mean of per-sample values takes `mmsteer.types.mean_score`. A ratio of sums does not: its samples carry unequal
weight, and the questions of one image are not independent. Here whole images are resampled with their counts.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmsteer.errors import EvalError
from mmsteer.types.score import Score, mean_score

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Statistic = Callable[[Floats], Floats]

CHUNK = 100  # draws at a time: the table of 20,000 images then takes 16 MB
KEPT = 4_000_000  # entries of a table that is kept for the next metric: 32 MB


def bootstrap(
    statistic: Statistic,
    rows: ArrayLike,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
    unscored: int = 0,
) -> Score:
    """A statistic of summed counts, with a percentile interval over resampled images; one image has no interval.

    Args:
        statistic: Takes sums, (..., counts), to values, (...,); NaN where it is undefined, such as 0 / 0.
        rows: The counts of each image, (images, counts).
        level: Confidence level of the interval.
        draws: Resamples; those in which the statistic is undefined are left out.
        seed: Seed of the resampling.
        unscored: How many images gave no answer, passed on to the score.

    Raises:
        EvalError: A count is NaN or infinite.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
    """
    counts = np.asarray(rows, dtype=np.float64)
    if not np.isfinite(counts).all():
        raise EvalError("a count to resample is not finite; leave out what cannot be scored")
    value = float(statistic(counts.sum(axis=0))) if len(counts) else np.nan
    if np.isnan(value):
        return Score(None, None, None, 0, unscored)
    if counts.any(axis=1).sum() < 2:
        return Score(value, None, None, len(counts), unscored)
    drawn = np.concatenate([statistic(sums) for sums in _resampled(counts, draws, seed)])
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Score(value, float(low), float(high), len(counts), unscored)


def ratio_interval(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
    unscored: int = 0,
) -> Score:
    """Sum of the numerators over sum of the denominators, with an interval over images; of several runs their mean.

    Where every image that counts gives 0, or every one gives 1, the interval is Wilson's for that many images:
    resampling has no width there.

    Args:
        numerators: One an image, such as its hallucinated mentions, (images,) or (images, runs).
        denominators: One an image, such as its mentions, shaped alike.
        level: Confidence level of the interval.
        draws: Resamples.
        seed: Seed of the resampling.
        unscored: How many images gave no answer, passed on to the score.

    Raises:
        EvalError: A count is NaN or infinite.

    >>> str(ratio_interval([0, 0, 0, 0], [3, 1, 0, 2]))
    '0.000 [0.000, 0.561]'
    """
    above, below = (np.asarray(one, np.float64) for one in (numerators, denominators))
    above, below = (one[:, None] if one.ndim == 1 else one for one in (above, below))
    runs = above.shape[1]
    score = bootstrap(
        lambda sums: ratio(sums[..., :runs], sums[..., runs:]).mean(axis=-1),
        np.concatenate([above, below], axis=1),
        level=level,
        draws=draws,
        seed=seed,
        unscored=unscored,
    )
    if score.value not in (0.0, 1.0) or (above != score.value * below).any():
        return score
    wilson = mean_score([score.value] * int(below.any(axis=1).sum()), level=level)
    return replace(score, low=wilson.low, high=wilson.high)


def ratio(numerators: Floats, denominators: Floats) -> Floats:
    """Elementwise ratio; NaN where the denominator is zero."""
    undefined = np.full(np.shape(denominators), np.nan)
    return np.divide(numerators, denominators, out=undefined, where=np.asarray(denominators) != 0)


def _resampled(counts: Floats, draws: int, seed: int) -> list[Floats]:
    """Sums over images drawn with replacement, (draws, counts), in chunks."""
    n = len(counts)
    tables = _kept_tables(n, draws, seed) if n * draws <= KEPT else _tables(n, draws, seed)
    # How often each image is drawn: one matrix product then gives all sums of the chunk.
    return [table @ counts for table in tables]


@lru_cache(maxsize=2)
def _kept_tables(n: int, draws: int, seed: int) -> tuple[Floats, ...]:
    """All chunks: drawing them takes far longer than the sums, and every metric of a run asks for the same."""
    return tuple(_tables(n, draws, seed))


def _tables(n: int, draws: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    for start in range(0, draws, CHUNK):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(CHUNK, draws - start)).astype(np.float64)
