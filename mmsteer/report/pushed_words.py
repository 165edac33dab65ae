"""Texts divided into words, with bars under them: how far the state that each word was chosen from was pushed."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

LEVELS = 4
"""Heights of bars; the tallest is that of the word that was pushed furthest."""


@dataclass(frozen=True)
class Pushed:
    """A word, or the white space between words.

    Attributes:
        text: It.
        level: Height of the bar, 0 for none.
        note: How far it was pushed; empty for white space.
    """

    text: str
    level: int = 0
    note: str = ""


def pushed_words(texts: Sequence[str], pushes: Sequence[float]) -> list[tuple[Pushed, ...]]:
    """Divide the stretches of a text into words.

    Args:
        texts: Stretches that follow one another; a word may go on from one to the next.
        pushes: For each word of the whole text the norm of the change over that of the state.

    Returns:
        The words of each stretch. Where the text has other words than were measured, none has a bar.
    """
    if len("".join(texts).split()) != len(pushes):
        return [(Pushed(text),) for text in texts]
    most, at, is_within, found = max(pushes) or 1.0, -1, False, []
    for text in texts:
        parts = []
        for part in re.findall(r"\s+|\S+", text):
            if part.isspace():
                is_within = False
                parts.append(Pushed(part))
                continue
            at += not is_within
            is_within = True
            level = math.ceil(LEVELS * pushes[at] / most)
            parts.append(Pushed(part, level, f"pushed by {pushes[at]:.1%} of its state"))
        found.append(tuple(parts))
    return found
