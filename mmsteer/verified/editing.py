"""A caption without what it says of some objects."""

import re
from collections.abc import Collection, Sequence

from mmsteer.eval.chair_parser import Mention

_SENTENCE = re.compile(r"[^.!?]+(?:[.!?]+(?=\s|$)|$)|[.!?]+")
_JOINT = re.compile(r",? and |, ")
_ARTICLE = re.compile(r"\b(?:an?|the)(?: \w+)? $", re.IGNORECASE)


def without(caption: str, mentions: Sequence[Mention], denied: Collection[str]) -> str:
    """The caption without the parts that name denied objects.

    A sentence that names no other object is left out. Of one that names others, the part between `and`, commas and its
    ends goes; where no such part can be told, the whole sentence does.

    Args:
        caption: English sentences.
        mentions: What it names, and where.
        denied: Objects of which nothing is to be said.

    >>> dog, cat = Mention("dog", 11, 14), Mention("cat", 31, 34)
    >>> without("There is a dog on the left and a cat on the right.", [dog, cat], {"dog"})
    'There is a cat on the right.'
    >>> without("There is a dog on the left and a cat on the right.", [dog, cat], {"cat"})
    'There is a dog on the left.'
    """
    parts = []
    for found in _SENTENCE.finditer(caption):
        inside = [one for one in mentions if found.start() <= one.start < found.end()]
        parts.append(_edited(caption, found.start(), found.end(), inside, denied))
    return " ".join(part for part in parts if part)


def _edited(caption: str, start: int, stop: int, inside: Sequence[Mention], denied: Collection[str]) -> str:
    """One sentence, edited; nothing where it goes whole."""
    cuts = []
    for at, one in enumerate(inside):
        if one.object not in denied:
            continue
        before = next((other for other in reversed(inside[:at]) if other.object not in denied), None)
        after = next((other for other in inside[at + 1 :] if other.object not in denied), None)
        cut = _part(caption, start, stop, one, before, after)
        if cut is None:
            return ""
        cuts.append(cut)
    text, done = "", start
    for first, last in cuts:
        text += caption[done : max(done, first)]
        done = max(done, last)
    text = (text + caption[done:stop]).strip()
    return text[:1].upper() + text[1:] if caption[start:stop].lstrip()[:1].isupper() else text


def _part(
    caption: str, start: int, stop: int, one: Mention, before: Mention | None, after: Mention | None
) -> tuple[int, int] | None:
    """What is cut for one mention, with one of the joints beside it.

    Where the other name stands right beside the joint, what follows is said of both, and stays.
    """
    behind = list(_JOINT.finditer(caption, before.stop, one.start)) if before else []
    ahead = list(_JOINT.finditer(caption, one.stop, after.start)) if after else []
    if before and behind:
        shared = behind[0].start() == before.stop
        end = ahead[-1].start() if ahead else one.stop if shared else _end(caption, start, stop)
        return (behind[0].start(), end) if ahead or not after else None
    article = _ARTICLE.search(caption, start, one.start)
    if before or not (ahead and article):
        return None
    led = bool(caption[start : article.start()].strip())
    return (article.start(), ahead[-1].end()) if led or ahead[0].start() == one.stop else None


def _end(caption: str, start: int, stop: int) -> int:
    """Where the marks at the end of a sentence begin."""
    return start + len(caption[start:stop].rstrip().rstrip(".!?"))
