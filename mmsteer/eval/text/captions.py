"""What a caption names, and what an answer to a yes-or-no question decides."""

from collections.abc import Sequence
from functools import cache

from mmsteer.errors import EvalError
from mmsteer.eval.chair_parser import Parse, mentioned, object_parser
from mmsteer.eval.chair_synonyms import coco_synonyms
from mmsteer.eval.pope_parsers import parse_answer
from mmsteer.eval.text.reference import Reference


def is_grounded(caption: str, reference: Reference) -> bool | None:
    """Whether a caption names an object that is there, and none that is not; None where the objects are not known.

    A caption that names nothing is no better than one that names what is not there.
    """
    if reference.objects is None:
        return None
    named = mentioned(_parser(), [caption])
    return bool(named) and named <= reference.objects


def names_any(caption: str, objects: Sequence[str]) -> bool:
    """Whether a caption names one of some objects.

    `objects`: classes of objects, as `object_class` gives them.
    """
    return bool(mentioned(_parser(), [caption]) & set(objects))


def is_brief(caption: str, words: int) -> bool:
    """Whether a caption has at most so many words, and names an object."""
    return len(caption.split()) <= words and bool(mentioned(_parser(), [caption]))


def is_decision(answer: str, reference: Reference) -> bool | None:
    """Whether an answer decides as the right one does; None where either is neither yes nor no."""
    decision, right = parse_answer(answer), parse_answer(reference.answer or "")
    return None if decision is None or right is None else decision == right


def object_class(name: str) -> str:
    """The class of an object, from its name or a synonym.

    Raises:
        EvalError: It names no object, or several.

    >>> object_class("puppy")
    'dog'
    """
    found = mentioned(_parser(), [name])
    if len(found) != 1:
        known = ", ".join(coco_synonyms())
        raise EvalError(f"{name!r} is no object that captions are read for; choose from {known}, or leave it out")
    return found.pop()


@cache
def _parser() -> Parse:
    return object_parser()
