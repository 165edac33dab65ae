"""Words, sentences and paragraphs of a text, counted the same way by every scorer of this package."""

import re
from collections.abc import Iterator

from mmsteer.types.metric import Metric

LENGTH = Metric("length", "Words of an answer, as runs of letters, digits and underscores.", unit="words", decimals=1)

_WORD = re.compile(r"\w+")
_BREAK = re.compile(r"(?<=[.!?…])[\"'”’)\]*]*(\s+)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:mr|mrs|ms|dr|prof|st|vs|e\.g|i\.e|cf|approx|p\.s|p\.p\.s|[a-hj-z])\.$", re.IGNORECASE
)
_MAYBE = re.compile(
    r"(?:^|[\s(])(?:a\.m|p\.m|no|fig|etc|jr|sr|inc|ltd|u\.s|u\.k)\.$", re.IGNORECASE
)  # may also end a sentence
_LONGEST = len(" approx.")  # characters of an abbreviation with what stands before it
_MARKER = re.compile(r"\(?\d{1,3}\.")


def count_tokens(text: str) -> int:
    r"""How many words a text has, a word being a run of letters, digits and underscores (`\w+`), as IFEval counts.

    `mmsteer.eval.words.count_words` counts what white space separates: there "don't" is one word, here it is two.

    >>> count_tokens("Don't stop - it's 5 o'clock.")
    8
    """
    return len(_WORD.findall(text))


def split_sentences(text: str) -> list[str]:
    r"""The sentences of a text: what ends in `.`, `!`, `?` or `…` before white space, or at the end of a line.

    Titles, initials and common abbreviations end none, and the marker of a list item is part of its item. IFEval splits
    with the Punkt model of NLTK, which does not end a sentence at a line break, so counts differ in lists and verse.

    >>> split_sentences("Dr. Lee came. Why? 1. Work\n2. Tea")
    ['Dr. Lee came.', 'Why?', '1. Work', '2. Tea']
    """
    return [piece for line in text.split("\n") for piece in _split_line(line.strip()) if _WORD.search(piece)]


def _split_line(line: str) -> Iterator[str]:
    start = 0
    for gap in _BREAK.finditer(line):
        if not _goes_on(line, start, gap):
            yield line[start : gap.start(1)]
            start = gap.end()
    yield line[start:]


def _goes_on(line: str, start: int, gap: re.Match[str]) -> bool:
    """Whether what begins at `start` and ends in a stop before a gap is no whole sentence."""
    stop, following = gap.start(1), line[gap.end()]
    tail = max(stop - _LONGEST, 0), stop  # not from the start on: one that goes on again and again is read once
    abbreviated = _ABBREVIATION.search(line, *tail) or (
        _MAYBE.search(line, *tail) and (following.islower() or following.isdigit())
    )
    return bool(abbreviated or _MARKER.fullmatch(line, start, stop))


def split_paragraphs(text: str) -> list[str]:
    r"""The paragraphs of a text, which blank lines separate.

    >>> split_paragraphs("One\nand the same.\n \nTwo.")
    ['One\nand the same.', 'Two.']
    """
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
