"""Two captions that end alike, so that what is read at the end is not how they end."""

import re
from collections.abc import Sequence

from mmsteer.errors import DataError

_SENTENCES = re.compile(r"(?<=[.!?])\s+")


def end_alike(careful: str, loose: str) -> tuple[str, str]:
    """Two captions with the same last sentence and about equally many words.

    The last sentence that both have, other than the first, goes to the end of both; where there is none, both end
    with the careful one's last. Then the longer one loses sentences before the last while that brings the two
    closer.

    Raises:
        DataError: They do not differ otherwise, or one of them is a single sentence.

    >>> end_alike("A room. There is a cup. A dog sits.", "A room. There is a cup. A cat sits.")
    ('A room. A dog sits. There is a cup.', 'A room. A cat sits. There is a cup.')
    """
    true, false = _sentences(careful), _sentences(loose)
    common = _common(true, false)
    last = common[-1] if common else true[-1]
    bodies = [_body(sentences, last, common) for sentences in (true, false)]
    if not all(bodies) or bodies[0] == bodies[1]:
        raise DataError(
            f"captions {careful!r} and {loose!r} do not differ before a shared last sentence; give captions of several "
            "sentences that differ in objects, or take ending='written'"
        )
    longer, shorter = sorted(bodies, key=_words, reverse=True)
    while len(longer) > 1 and longer[:-1] != shorter and _gap(longer[:-1], shorter) < _gap(longer, shorter):
        longer.pop()
    one, two = (" ".join([*body, last]) for body in bodies)
    return one, two


def shares_a_sentence(one: str, two: str) -> bool:
    """Whether two captions have a sentence in common, other than the first."""
    return bool(_common(_sentences(one), _sentences(two)))


def _sentences(text: str) -> list[str]:
    return _SENTENCES.split(text.strip())


def _common(one: Sequence[str], two: Sequence[str]) -> list[str]:
    return [sentence for sentence in one[1:] if sentence in two[1:]]


def _body(sentences: list[str], last: str, common: list[str]) -> list[str]:
    """The sentences before the shared one."""
    if not common:
        return sentences[:-1]
    place = len(sentences) - 1 - sentences[::-1].index(last)
    return sentences[:place] + sentences[place + 1 :]


def _words(sentences: Sequence[str]) -> int:
    return sum(len(sentence.split()) for sentence in sentences)


def _gap(one: Sequence[str], two: Sequence[str]) -> int:
    return abs(_words(one) - _words(two))
