"""The twelve pitch classes and the four triads, as every part of mmsteer writes them."""

PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
FLATS = {"Db": "C#", "Eb": "D#", "Fb": "E", "Gb": "F#", "Ab": "G#", "Bb": "A#", "Cb": "B", "E#": "F", "B#": "C"}
TRIADS = {"maj": (0, 4, 7), "min": (0, 3, 7), "aug": (0, 4, 8), "dim": (0, 3, 6)}
"""Semitones above the root, by the names of mir_eval."""


def pitch_class(text: str) -> str | None:
    """The name of a pitch class with sharps; None where there is none.

    Args:
        text: Such as `C`, `c#` or `Db`.

    >>> pitch_class("Bb"), pitch_class("H")
    ('A#', None)
    """
    name = text.strip().replace("♯", "#").replace("♭", "b")
    name = name[:1].upper() + name[1:]
    name = FLATS.get(name, name)
    return name if name in PITCH_CLASSES else None
