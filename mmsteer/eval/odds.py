"""Yes or no by which word is likelier to come next."""

import math
from collections.abc import Sequence

from mmsteer.eval.answer_words import NO, YES, Decision

LEAST_MASS = 0.05
"""Least P(yes) + P(no) at which their odds are an answer.

A model that answers gives the two words nearly all of it, and still a third or so if it writes "yes" and "YES", too.
One that is about to write something else gives them .001 (.0006 was met). Below .05, others are 19 times as likely.
"""


def odds_of(words: Sequence[float]) -> tuple[float, float]:
    """Log-odds of yes against no, and how probable it is that either comes.

    `words`: log P(yes) and log P(no) of the next word.

    >>> odds_of([math.log(0.5), math.log(0.25)])
    (0.693147, 0.75)
    """
    yes, no = words
    return round(yes - no, 6), round(math.exp(yes) + math.exp(no), 6)


def verdict(logit: float, mass: float | None = None) -> Decision | None:
    """The likelier word; None where both are as likely, or where neither is likely to come.

    `logit`: log P(yes) - log P(no).
    `mass`: P(yes) + P(no); None where it is not known, and the odds have to do.

    >>> verdict(1.0, 0.8), verdict(-1.0), verdict(1.0, 0.0006)
    ('yes', 'no', None)
    """
    if logit == 0 or (mass is not None and mass < LEAST_MASS):
        return None
    return YES if logit > 0 else NO
