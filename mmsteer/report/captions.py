"""A caption in pieces: the objects it names that are there, those that are not, and everything between."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmsteer.report.output_parts import Mention, Output


@dataclass(frozen=True)
class Piece:
    """A stretch of a caption.

    Attributes:
        text: Its words.
        kind: `right`, `wrong`, or empty where no object is named.
        note: Which object the words stand for, and whether it is there.
    """

    text: str
    kind: str = ""
    note: str = ""


@dataclass(frozen=True)
class Said:
    """What the model said of a picture.

    `role`: `unsteered`, `steered`, or which control.
    """

    role: str
    pieces: tuple[Piece, ...]
    missed: tuple[str, ...]


def said(role: str, view: Output) -> Said:
    """A caption, taken apart."""
    return Said(role, tuple(pieces(view.caption or "", view.mentions)), tuple(view.missed))


def pieces(caption: str, mentions: Sequence[Mention]) -> Iterator[Piece]:
    """The caption from start to end; mentions that overlap one before them are left out."""
    at = 0
    for mention in sorted(mentions, key=lambda one: one.start):
        if mention.start < at or mention.stop > len(caption):
            continue
        if mention.start > at:
            yield Piece(caption[at : mention.start])
        yield _named(caption[mention.start : mention.stop], mention)
        at = mention.stop
    if at < len(caption):
        yield Piece(caption[at:])


def _named(words: str, mention: Mention) -> Piece:
    there = "is not in the image" if mention.hallucinated else "is in the image"
    return Piece(words, "wrong" if mention.hallucinated else "right", f"{mention.object} {there}")
