"""SynTheory: seven categories of labelled music theory clips, made when they are asked for.

    chords = catalogue("chords")                       # 13,248 items, nothing rendered
    train, test = chords.split(0.8, 0.2, seed=0)       # no General MIDI program in both
    audio = render(train.sample(10, by="chord_type", seed=0)[0])

Rows stand in the order of the original data. The rules, label spaces and sizes are the original's; the
sound is not, see `render`.

Source: Wei, Freeman, Donahue and Sun 2024, Do Music Generation Models Encode Music Theory?, ISMIR.
"""

from collections.abc import Mapping
from types import MappingProxyType

from mmsteer.data.syntheory.catalogue import CLIP_S, Catalogue, Category, Item, Label
from mmsteer.data.syntheory.metronome import TEMPOS, TIME_SIGNATURES
from mmsteer.data.syntheory.programs import PROGRAMS, SILENT
from mmsteer.data.syntheory.rendering import Renderer, render, synthesise
from mmsteer.data.syntheory.tonal import CHORDS, INTERVALS, NOTES, SCALES, SIMPLE_PROGRESSIONS
from mmsteer.errors import DataError

CATEGORIES: Mapping[str, Category] = MappingProxyType(
    {
        category.name: category
        for category in (NOTES, INTERVALS, SCALES, CHORDS, SIMPLE_PROGRESSIONS, TEMPOS, TIME_SIGNATURES)
    }
)


def catalogue(category: str) -> Catalogue:
    """All clips of a category.

    Args:
        category: One of `CATEGORIES`.

    Raises:
        DataError: There is no such category.

    >>> len(catalogue("notes"))
    9936
    """
    if category not in CATEGORIES:
        raise DataError(f"no SynTheory category {category!r}; choose from {', '.join(CATEGORIES)}")
    chosen = CATEGORIES[category]
    return Catalogue(chosen, range(len(chosen)))


__all__ = [
    "CATEGORIES",
    "CLIP_S",
    "PROGRAMS",
    "SILENT",
    "Catalogue",
    "Category",
    "Item",
    "Label",
    "Renderer",
    "catalogue",
    "render",
    "synthesise",
]
