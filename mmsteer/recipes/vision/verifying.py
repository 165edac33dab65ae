"""Captions → captions that say nothing of what the model denies when it is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmsteer.eval.chair_parser import Mention, object_parser
from mmsteer.eval.open_nouns import open_synonyms
from mmsteer.recipes.vision.schema import Captions
from mmsteer.types import Sample
from mmsteer.verified import Reader, verify


def verified(
    read: Reader,
    samples: Mapping[int, Sample],
    captions: Mapping[int, str],
    how: Captions,
    least: float,
    elsewhere: Mapping[int, Sample] | None = None,
) -> dict[int, dict[str, Any]]:
    """Ask about each object of each caption.

    Args:
        read: What is read of each object.
        samples: The pictures.
        captions: What was said of each.
        how: Which nouns are read.
        least: Log-odds of yes under which an object is denied.
        elsewhere: For each picture another one, which the questions show instead: a control, in which as many objects
            are denied in all.

    Returns:
        For each picture `caption`, what is left; `said`, the whole; and `denied`, each object with its log-odds.
    """
    said = [replace(samples[index], output=caption) for index, caption in captions.items()]
    parse = object_parser("fixed", open_synonyms() if how.nouns == "open" else None)
    if elsewhere is not None:
        read = _as_many(read, [elsewhere[index] for index in captions], least)
    left = verify(said, read, parse, least=least)
    return {
        index: {
            "caption": str(one.sample.output),
            "said": one.said,
            "denied": {checked.object: round(checked.reading, 3) for checked in one.denied},
        }
        for index, one in zip(captions, left, strict=True)
    }


def _as_many(read: Reader, elsewhere: Sequence[Sample], least: float) -> Reader:
    """Readings of other pictures, moved so far that as many of them are below `least`."""

    def moved(samples: Sequence[Sample], mentions: Sequence[Sequence[Mention]]) -> list[list[float]]:
        own = [value for some in read(samples, mentions) for value in some]
        other = read(elsewhere, mentions)
        ordered = sorted(value for some in other for value in some)
        denied = sum(value < least for value in own)
        above = [*ordered, float("inf")][denied]
        return [[value + least - min(above, ordered[-1] + 1) for value in some] for some in other]

    return moved
