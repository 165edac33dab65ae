"""Perplexity of texts from the log-probabilities of their tokens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mmsteer.errors import EvalError
from mmsteer.eval.bootstrap import ratio_interval
from mmsteer.types.metric import Metric
from mmsteer.types.score import Score

PERPLEXITY = Metric(
    "perplexity", "Perplexity per token of the answers under the judging model; near 1 also for loops.", decimals=1
)


@dataclass(frozen=True)
class Likelihood:
    """The terms of one text; sums of them are the terms of several.

    Attributes:
        nll: Negative log-likelihood summed over its tokens, in nats.
        tokens: How many tokens were scored.
    """

    nll: float
    tokens: int

    @property
    def perplexity(self) -> float | None:
        """exp(nll / tokens); None without tokens."""
        return math.exp(self.nll / self.tokens) if self.tokens else None


def likelihood(log_probs: ArrayLike) -> Likelihood:
    """The terms of one text.

    Args:
        log_probs: Natural logarithm of the probability of each scored token, (tokens,).

    Raises:
        EvalError: A number is above 0, NaN or -inf.
    """
    values = np.asarray(log_probs, dtype=np.float64).reshape(-1)
    if not np.isfinite(values).all() or (values > 0).any():
        raise EvalError("a token's log-probability is above 0 or not finite; give natural logarithms of probabilities")
    return Likelihood(float(-values.sum()), len(values))


def perplexity(texts: Sequence[Likelihood | None], *, seed: int = 0) -> Score:
    """Perplexity per token over texts: exp of summed negative log-likelihood over summed tokens.

    The interval resamples whole texts.

    Args:
        texts: One a text; None, or one without tokens, is unscored.
        seed: Seed of the resampling.

    Raises:
        EvalError: The mean is too large for its exponential.
    """
    scored = [one for one in texts if one is not None and one.tokens]
    mean = ratio_interval(
        [one.nll for one in scored], [one.tokens for one in scored], seed=seed, unscored=len(texts) - len(scored)
    )
    ends = (mean.value, mean.low, mean.high)
    try:
        value, low, high = (None if end is None else math.exp(end) for end in ends)
    except OverflowError:
        most = max(end for end in ends if end is not None)
        raise EvalError(f"a mean of {most:.0f} nats a token; are these logarithms of probabilities?") from None
    return Score(value, low, high, mean.n, mean.unscored)
