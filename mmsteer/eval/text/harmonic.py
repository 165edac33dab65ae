"""Several scores of an answer as one."""

from collections.abc import Sequence

from mmsteer.errors import EvalError


def harmonic_mean(scores: Sequence[float | None]) -> float | None:
    """The harmonic mean of scores in a common range from 0; 0 where any is 0, None where any is missing.

    AxBench joins ratings of concept, instruction and fluency, each 0 to 2, in this way: a steering that spoils one of
    them gains nothing by the others.

    Args:
        scores: At least one, none below 0.

    Raises:
        EvalError: There is none, or one is negative.

    Source: Wu et al. 2025, AxBench, arXiv:2501.17148, section 3.2.

    >>> harmonic_mean([1, 2, 2]), harmonic_mean([0, 2, 2]), harmonic_mean([1, None])
    (1.5, 0.0, None)
    """
    if not scores:
        raise EvalError("no scores to average; give at least one")
    known = [float(score) for score in scores if score is not None]
    if any(not score >= 0 for score in known):
        raise EvalError(f"scores {list(scores)}; a harmonic mean is defined for numbers from 0")
    if len(known) < len(scores):
        return None
    return len(known) / sum(1 / score for score in known) if all(known) else 0.0
