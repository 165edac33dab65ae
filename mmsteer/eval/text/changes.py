"""What changed between two answers, word by word, for reports."""

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Change = Literal["same", "removed", "added"]


@dataclass(frozen=True)
class Segment:
    """A run of words.

    Attributes:
        change: Whether both texts have it, the first alone, or the second alone.
        text: The words, joined by single spaces.
    """

    change: Change
    text: str


def word_changes(before: str, after: str) -> tuple[Segment, ...]:
    """Two texts as segments: the same and removed ones are the first text, the same and added ones the second.

    White space is not compared and not kept.

    Args:
        before: The first text, such as the unsteered answer.
        after: The second.

    >>> [(one.change, one.text) for one in word_changes("a red cup here", "a blue cup")]
    [('same', 'a'), ('removed', 'red'), ('added', 'blue'), ('same', 'cup'), ('removed', 'here')]
    """
    old, new = before.split(), after.split()
    segments: list[Segment] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        runs: list[tuple[Change, list[str]]] = (
            [("same", old[a:b])] if kind == "equal" else [("removed", old[a:b]), ("added", new[c:d])]
        )
        segments += [Segment(change, " ".join(words)) for change, words in runs if words]
    return tuple(segments)
