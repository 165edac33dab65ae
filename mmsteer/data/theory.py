"""Names and numbers of Western music theory: pitch classes, scales, triads, intervals, frequencies."""

from collections.abc import Mapping
from types import MappingProxyType

from mmsteer.errors import DataError
from mmsteer.types.pitch import PITCH_CLASSES

SEMITONES = len(PITCH_CLASSES)
CONCERT_A_MIDI = 69
CONCERT_A_HZ = 440.0

# Semitones above the tonic.
MODES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "ionian": (0, 2, 4, 5, 7, 9, 11),
        "dorian": (0, 2, 3, 5, 7, 9, 10),
        "phrygian": (0, 1, 3, 5, 7, 8, 10),
        "lydian": (0, 2, 4, 6, 7, 9, 11),
        "mixolydian": (0, 2, 4, 5, 7, 9, 10),
        "aeolian": (0, 2, 3, 5, 7, 8, 10),
        "locrian": (0, 1, 3, 5, 6, 8, 10),
    }
)
SCALES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "major": MODES["ionian"],
        "minor": MODES["aeolian"],
    }
)
# Semitones above the root.
TRIADS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "major": (0, 4, 7),
        "minor": (0, 3, 7),
        "aug": (0, 4, 8),
        "dim": (0, 3, 6),
    }
)


def pitch_class(midi: float) -> int:
    """Pitch class of a MIDI number, 0 for C; a fractional number belongs to the nearest semitone.

    `midi`: MIDI note number, 60 for middle C.

    >>> PITCH_CLASSES[pitch_class(69)]
    'A'
    """
    return round(midi) % SEMITONES


def midi_to_hz(midi: float) -> float:
    """Frequency in equal temperament, in Hz.

    `midi`: MIDI note number; fractions are cents / 100.

    >>> midi_to_hz(69)
    440.0
    """
    return float(CONCERT_A_HZ * 2.0 ** ((midi - CONCERT_A_MIDI) / SEMITONES))


def triad(root_midi: int, quality: str, inversion: int = 0) -> tuple[int, int, int]:
    """The MIDI numbers of a close triad, lowest first.

    Args:
        root_midi: The root in root position.
        quality: One of `TRIADS`.
        inversion: How many of the lowest notes are moved up an octave, 0 to 2.

    Raises:
        DataError: There is no such quality or inversion.

    >>> triad(60, "minor", inversion=1)
    (63, 67, 72)
    """
    if quality not in TRIADS or inversion not in range(3):
        raise DataError(f"no triad {quality!r} in inversion {inversion}; choose from {sorted(TRIADS)}, inversions 0-2")
    low, mid, high = (root_midi + step for step in TRIADS[quality])
    return ((low, mid, high), (mid, high, low + SEMITONES), (high, low + SEMITONES, mid + SEMITONES))[inversion]


def scale_notes(tonic_midi: int, steps: tuple[int, ...], low: int, high: int) -> tuple[int, ...]:
    """All notes of a scale between two MIDI numbers, both included, ascending.

    Args:
        tonic_midi: Any note of the tonic's pitch class.
        steps: Semitones above the tonic, such as `SCALES["major"]`.
        low: The lowest MIDI number allowed.
        high: The highest MIDI number allowed.

    >>> scale_notes(60, SCALES["major"], 60, 67)
    (60, 62, 64, 65, 67)
    """
    members = {(tonic_midi + step) % SEMITONES for step in steps}
    return tuple(midi for midi in range(low, high + 1) if midi % SEMITONES in members)
