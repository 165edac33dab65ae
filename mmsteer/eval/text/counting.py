"""Words, sentences and paragraphs of a text, counted the same way by every scorer of this package."""

import re

from mmsteer.types.metric import Metric

LENGTH = Metric("length", "Words of an answer, as runs of letters, digits and underscores.", unit="words", decimals=1)

_WORD = re.compile(r"\w+")
_BREAK = re.compile(r"(?<=[.!?…])[\"'”’)\]*]*\s+|\n+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:mr|mrs|ms|dr|prof|st|vs|e\.g|i\.e|cf|approx|p\.s|p\.p\.s|[a-hj-z])\.$", re.IGNORECASE
)
_MAYBE = re.compile(
    r"(?:^|[\s(])(?:a\.m|p\.m|no|fig|etc|jr|sr|inc|ltd|u\.s|u\.k)\.$", re.IGNORECASE
)  # may also end a sentence
_MARKER = re.compile(r"^(?:[-*•#>]+|\(?\d{1,3}[.)])$")


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
    sentences: list[str] = []
    start = 0
    for gap in [*_BREAK.finditer(text), None]:
        end = len(text) if gap is None else gap.end()
        piece = text[start:end].strip()
        if gap is None or "\n" in gap[0] or not _goes_on(piece, text[end : end + 1]):
            start = end
            if _WORD.search(piece):
                sentences.append(piece)
    return sentences


def _goes_on(piece: str, following: str) -> bool:
    """Whether what ends in a stop is no whole sentence."""
    abbreviated = _ABBREVIATION.search(piece) or (_MAYBE.search(piece) and (following.islower() or following.isdigit()))
    return bool(abbreviated or _MARKER.match(piece))


def split_paragraphs(text: str) -> list[str]:
    r"""The paragraphs of a text, which blank lines separate.

    >>> split_paragraphs("One\nand the same.\n \nTwo.")
    ['One\nand the same.', 'Two.']
    """
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
