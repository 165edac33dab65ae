"""A measured number with its uncertainty."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mmsteer.errors import EvalError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """A mean over samples with its confidence interval.

    Attributes:
        value: Mean over the scored samples; None when none could be scored.
        low: Lower end of the interval, None as above.
        high: Upper end of the interval, None as above.
        n: How many samples were scored.
        unscored: How many samples gave no answer; they are counted, never guessed.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    unscored: int = 0

    def to_json(self) -> dict[str, float | int | None]:
        """The fields as plain values; no NaN ever."""
        return asdict(self)

    def __str__(self) -> str:
        if self.value is None:
            return f"unscored ({self.unscored})"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_score(
    values: Sequence[float | None],
    *,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Score:
    """The mean of per-sample values with a confidence interval over samples, or over groups of them.

    The interval is a percentile bootstrap; where every value is 0 or 1 it is Wilson's, because resampling 24 hits
    out of 24 gives an interval of no width. Samples of one group stand and fall together, as clips of one prompt do:
    then whole groups are resampled, and Wilson's interval, which counts groups, is left for means of exactly 0 or 1.

    Args:
        values: One number a sample; None where the sample could not be scored.
        groups: What each sample shares with others; None where samples are independent.
        level: Confidence level of the interval.
        draws: Bootstrap resamples.
        seed: Seed of the resampling.

    Raises:
        EvalError: A value is NaN or infinite.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3; Wilson 1927,
    doi:10.1080/01621459.1927.10502953.

    >>> str(mean_score([1.0, 1.0, 1.0, 0.0]))
    '0.750 [0.301, 0.954]'
    """
    told = [place for place, value in enumerate(values) if value is not None]
    scored = np.array([values[place] for place in told], dtype=np.float64)
    missing = len(values) - len(scored)
    if not np.isfinite(scored).all():
        raise EvalError("a sample's value is not finite; give None for a sample that cannot be scored")
    if not len(scored):
        return Score(None, None, None, 0, missing)
    numbers: dict[Hashable, int] = {}
    group = [numbers.setdefault(place if groups is None else groups[place], len(numbers)) for place in told]
    sums, counts = (np.bincount(group, weights).astype(np.float64) for weights in (scored, None))
    alone = len(counts) == len(scored)
    if np.isin(scored, (0, 1)).all() and (alone or len(np.unique(scored)) == 1):
        low, high = _wilson(float(scored.mean()), len(counts), (1 - level) / 2)
    else:
        low, high = _bootstrap(sums, counts, (1 - level) / 2, draws, seed)
    return Score(float(scored.mean()), low, high, len(scored), missing)


def _bootstrap(sums: Floats, counts: Floats, tail: float, draws: int, seed: int) -> tuple[float, float]:
    chosen = np.random.default_rng(seed).integers(0, len(sums), (draws, len(sums)))
    means = sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _wilson(share: float, n: int, tail: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf(1 - tail)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def paired_score(
    after: Sequence[float | None],
    before: Sequence[float | None],
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Score:
    """The mean change over samples scored in both runs, with its confidence interval.

    Args:
        after: One value a sample.
        before: The same samples, in the same order, under the control.
        groups: As for `mean_score`.
        seed: Seed of the resampling.

    Raises:
        EvalError: The two runs differ in length.
    """
    if len(after) != len(before):
        raise EvalError(f"paired runs differ in length: {len(after)} and {len(before)} samples")
    pairs = zip(after, before, strict=True)
    return mean_score([a - b if a is not None and b is not None else None for a, b in pairs], groups=groups, seed=seed)
