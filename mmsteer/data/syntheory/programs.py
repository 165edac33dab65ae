"""The 92 General MIDI programs of SynTheory."""

from collections.abc import Mapping
from types import MappingProxyType

# General MIDI level 1: sixteen families of eight programs.
FAMILIES = (
    "piano",
    "chromatic percussion",
    "organ",
    "guitar",
    "bass",
    "strings",
    "ensemble",
    "brass",
    "reed",
    "pipe",
    "synth lead",
    "synth pad",
    "synth effects",
    "ethnic",
    "percussive",
    "sound effects",
)
ATONAL_FAMILIES = ("synth effects", "percussive", "sound effects")
# Celesta, glockenspiel, tubular bells, two accordions, timpani, fifths lead: their overtones hide the root.
OVERTONES = frozenset({8, 9, 14, 21, 23, 47, 86})
# Harmonica, guitar harmonics, orchestra hit, shakuhachi, whistle: they bend or blur the pitch.
ARTICULATED = frozenset({22, 31, 55, 77, 78})


def family(program: int) -> str:
    """The General MIDI family of a program.

    `program`: 0 to 127.

    >>> family(24)
    'guitar'
    """
    return FAMILIES[program // 8]


PROGRAMS = tuple(
    program
    for program in range(128)
    if family(program) not in ATONAL_FAMILIES and program not in OVERTONES | ARTICULATED
)

# Notes of MIDI 0 to 107 for which SynTheory's SoundFont (TimGM6mb) has no sample: 88 silent clips.
SILENT: Mapping[int, range] = MappingProxyType(
    {
        10: range(12),  # music box
        56: range(12),  # trumpet
        67: range(80, 108),  # baritone saxophone
        68: range(36),  # oboe
    }
)
