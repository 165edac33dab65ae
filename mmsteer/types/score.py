"""A measured number with its uncertainty."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from mmsteer.errors import EvalError


@dataclass(frozen=True)
class Score:
    """A mean over samples with its bootstrap confidence interval.

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


def mean_score(values: Sequence[float | None], *, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Score:
    """The mean of per-sample values with a percentile bootstrap interval over samples.

    Args:
        values: One number a sample; None where the sample could not be scored.
        level: Confidence level of the interval.
        draws: Bootstrap resamples.
        seed: Seed of the resampling.

    Raises:
        EvalError: A value is NaN or infinite.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.

    >>> mean_score([1.0, 1.0, None]).n
    2
    """
    scored = np.array([value for value in values if value is not None], dtype=np.float64)
    missing = len(values) - len(scored)
    if not np.isfinite(scored).all():
        raise EvalError("a sample's value is not finite; give None for a sample that cannot be scored")
    if not len(scored):
        return Score(None, None, None, 0, missing)
    rng = np.random.default_rng(seed)
    means = scored[rng.integers(0, len(scored), (draws, len(scored)))].mean(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Score(float(scored.mean()), float(low), float(high), len(scored), missing)


def paired_score(after: Sequence[float | None], before: Sequence[float | None], *, seed: int = 0) -> Score:
    """The mean change over samples scored in both runs, with its bootstrap interval.

    Args:
        after: One value a sample.
        before: The same samples, in the same order, under the control.
        seed: Seed of the resampling.

    Raises:
        EvalError: The two runs differ in length.
    """
    if len(after) != len(before):
        raise EvalError(f"paired runs differ in length: {len(after)} and {len(before)} samples")
    pairs = zip(after, before, strict=True)
    return mean_score([a - b if a is not None and b is not None else None for a, b in pairs], seed=seed)
