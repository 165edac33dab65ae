r"""Regular expressions from recipes, searched within a limit of time.

No rule on the pattern alone makes a backtracking engine safe: `(a|a)*\d` nests no quantifiers and takes exponential
time, `a*a*a*\d` takes the fourth power. So the search runs in an engine that stops itself after a given processor time
(the package `regex`, which transformers requires), and a search that is stopped raises: a result never depends on how
fast the machine is. Lengths are limited as well. The syntax is that of Python's `re`.
"""

import re
from dataclasses import dataclass, field
from math import prod
from typing import Any

import regex  # type: ignore[import-untyped, unused-ignore]

from mmsteer.errors import EvalError, clip

LONGEST_PATTERN = 500
LONGEST_TEXT = 100_000
MOST_COPIES = 1_000_000
"""Of a part: each count in braces is written out, so those within one another multiply."""
TIME_S = 2.0

_COUNT = re.compile(r"\{[0-9, ]*[0-9][0-9, ]*\}")


@dataclass(frozen=True)
class Pattern:
    r"""A regular expression whose search ends.

    `source`: the expression; it may match anywhere, `^` and `$` are the ends of the text.

    Raises:
        EvalError: The expression is too long, too large or is none.

    >>> Pattern(r"^\s*Yes").matches("  Yes, of course.")
    True
    """

    source: str
    time_s: float = TIME_S
    _compiled: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.source) > LONGEST_PATTERN:
            raise EvalError(f"a pattern of {len(self.source)} characters; give at most {LONGEST_PATTERN}")
        if prod(map(_copies, _COUNT.findall(self.source))) > MOST_COPIES:
            raise EvalError(f"{clip(self.source)} repeats a part more than {MOST_COPIES} times; give smaller counts")
        try:
            object.__setattr__(self, "_compiled", regex.compile(self.source))
        except (regex.error, OverflowError) as error:
            raise EvalError(f"{self.source!r} is no regular expression: {error}") from None
        except RecursionError:
            raise EvalError(f"{clip(self.source)} has too many groups within one another; write fewer") from None

    def matches(self, text: str) -> bool:
        """Whether the expression matches anywhere.

        Raises:
            EvalError: The text is too long, or the search was stopped.
        """
        if len(text) > LONGEST_TEXT:
            raise EvalError(f"an answer of {len(text)} characters; patterns are searched in {LONGEST_TEXT} at most")
        try:
            return self._compiled.search(text, timeout=self.time_s) is not None
        except TimeoutError:
            raise EvalError(
                f"the pattern {self.source!r} was not done with {len(text)} characters after {self.time_s:g} s; "
                "repetitions that overlap, such as (a+)+ or a*a*, are the usual cause: write them as one"
            ) from None


def _copies(count: str) -> int:
    return max(1, *map(int, re.findall(r"[0-9]+", count)))
