"""A measured number with its uncertainty."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mmsteer.errors import EvalError

Floats = NDArray[np.float64]
LEVEL, DRAWS = 0.95, 2000


@dataclass(frozen=True)
class Score:
    """A mean over samples with its confidence interval.

    Attributes:
        value: Mean over the scored samples; None when none could be scored.
        low: Lower end of the interval; None as above, and where there is no interval: one sample, or one group of
            them, does not say how far others would differ.
        high: Upper end of the interval, None as `low`.
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
        if self.low is None:
            return f"{self.value:.3f} (no interval)"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def with_unscored(self) -> str:
        """The same as text, with how many samples could not be scored where some were."""
        return f"{self} ({self.unscored} unscored)" if self.value is not None and self.unscored else str(self)


def mean_score(
    values: Sequence[float | None],
    *,
    groups: Sequence[Hashable] | None = None,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Score:
    """The mean of per-sample values with a confidence interval over samples, or over groups of them.

    The interval is a percentile bootstrap; where every value is 0 or 1 it is Wilson's, because resampling 24 hits
    out of 24 gives an interval of no width. Samples of one group stand and fall together, as clips of one prompt do:
    then whole groups are resampled, and Wilson's interval, which counts groups, is left for means of exactly 0 or 1.
    Resampling a single sample or group says nothing: there is no interval.

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
    told = _told(values, groups)
    hits = np.isin(told.values, (0, 1)).all()
    if len(told.values) and hits and (told.independent or len(np.unique(told.values)) == 1):
        mean = float(told.values.mean())
        low, high = _wilson(mean, len(told.counts), (1 - level) / 2)
        return Score(mean, low, high, len(told.values), told.missing)
    return _resampled(told, level, draws, seed)


@dataclass(frozen=True)
class _Told:
    """The values that are known, and their sum and count in each group."""

    values: Floats
    sums: Floats
    counts: Floats
    missing: int

    @property
    def independent(self) -> bool:
        return len(self.counts) == len(self.values)


def _told(values: Sequence[float | None], groups: Sequence[Hashable] | None) -> _Told:
    told = [place for place, value in enumerate(values) if value is not None]
    known = np.array([values[place] for place in told], dtype=np.float64)
    if not np.isfinite(known).all():
        raise EvalError("a sample's value is not finite; give None for a sample that cannot be scored")
    numbers: dict[Hashable, int] = {}
    group = [numbers.setdefault(place if groups is None else groups[place], len(numbers)) for place in told]
    sums, counts = (np.bincount(np.array(group, int), one).astype(np.float64) for one in (known, None))
    return _Told(known, sums, counts, len(values) - len(known))


def _resampled(told: _Told, level: float, draws: int, seed: int) -> Score:
    """The mean with a percentile interval over groups."""
    if not len(told.values):
        return Score(None, None, None, 0, told.missing)
    mean, n = float(told.values.mean()), len(told.values)
    if len(told.sums) < 2:
        return Score(mean, None, None, n, told.missing)
    low, high = _bootstrap(told.sums, told.counts, (1 - level) / 2, draws, seed)
    return Score(mean, low, high, n, told.missing)


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
    """The mean change over samples scored in both runs, with a percentile bootstrap interval over them.

    A change may be negative, so Wilson's interval does not apply, whatever the values: gains and losses of one size
    have intervals of one size.

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
    changes = [a - b if a is not None and b is not None else None for a, b in pairs]
    return _resampled(_told(changes, groups), LEVEL, DRAWS, seed)
