"""Repetition within one answer: how many different n-grams, the longest one that comes back, and loops at the end.

Words are what white space separates, in lower case, so scripts without spaces are not measured. The share of repeated
4-grams is `mmsteer.eval.words.repetition`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mmsteer.errors import EvalError
from mmsteer.types.metric import Metric

DISTINCT = Metric("distinct_2", "Share of an answer's word pairs that are different.", "higher", "share")
LONGEST_REPEAT = Metric(
    "longest_repeat",
    "Length of the longest run of words that occurs twice, as a share of the answer.",
    "lower",
    "share",
)
LOOPS = Metric("loops", "Share of answers that end by repeating one phrase over and over.", "lower", "share")

TIMES = 3
FEWEST = 8  # words of the repeated stretch: "ha ha ha" is no loop


@dataclass(frozen=True)
class Loop:
    """A phrase that is repeated up to the end of a text.

    Attributes:
        phrase: Its words, joined by single spaces.
        times: How often it occurs in a row; a last one that is cut off is not counted.
    """

    phrase: str
    times: int


def distinct(text: str, n: int = 2) -> float | None:
    """Different n-grams over all n-grams, above 0 to 1; None for fewer than n words.

    Args:
        text: Any text.
        n: Words an n-gram.

    Raises:
        EvalError: n is below 1.

    Source: Li et al. 2016, A Diversity-Promoting Objective Function, arXiv:1510.03055 (distinct-n).

    >>> distinct("a b a b a"), distinct("a")
    (0.5, None)
    """
    if n < 1:
        raise EvalError(f"n-grams of {n} words; give 1 or more")
    grams = _grams(_words(text), n)
    return len(set(grams)) / len(grams) if grams else None


def longest_repeat(text: str) -> float | None:
    """Words of the longest n-gram that occurs at least twice, over all words, 0 to below 1; None without words.

    The two occurrences may overlap, so n words that are all the same give (n - 1) / n.

    Args:
        text: Any text.

    >>> longest_repeat("one two three one two four")
    0.3333333333333333
    """
    words = _words(text)
    names: list[list[int]] = [_joined(words, words)]  # of runs of 1, 2, 4, 8 ... words, by where they begin
    while _is_repeated(names[-1]):
        names.append(_joined(names[-1], names[-1][1 << (len(names) - 1) :]))
    longest, runs = 0, [0] * len(words)
    for power in reversed(range(len(names))):  # part of a repeated run is repeated too, so the length grows bit by bit
        longer = _joined(runs, names[power][longest:])
        if _is_repeated(longer):
            longest, runs = longest + (1 << power), longer
    return longest / len(words) if words else None


def find_loop(text: str) -> Loop | None:
    """The shortest phrase that an answer ends by repeating three times or more, over eight words or more.

    Args:
        text: Any text.

    >>> find_loop("Well, I think so. I think so. I think so. I think")
    Loop(phrase='i think so.', times=3)
    """
    words = _words(text)
    for period in range(1, len(words) // TIMES + 1):
        stretch = period + _matching(words, period)
        if stretch >= max(TIMES * period, FEWEST):
            start = len(words) - stretch
            return Loop(" ".join(words[start : start + period]), stretch // period)
    return None


def _words(text: str) -> list[str]:
    return text.lower().split()


def _grams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]


def _joined(heads: Sequence[object], tails: Sequence[object]) -> list[int]:
    """Names of runs that are made of two runs each: one number for equal runs, and their length does not matter."""
    known: dict[tuple[object, object], int] = {}
    return [known.setdefault(pair, len(known)) for pair in zip(heads, tails, strict=False)]


def _is_repeated(names: list[int]) -> bool:
    return len(set(names)) < len(names)


def _matching(words: list[str], period: int) -> int:
    """How many of the last words are equal to the word one period before."""
    at = len(words) - 1
    while at >= period and words[at] == words[at - period]:
        at -= 1
    return len(words) - 1 - at
