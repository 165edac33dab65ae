"""The five tonal categories: notes, intervals, scales, chords, simple progressions.

Every clip is eight quarters at 120 bpm, which is 4.0 s, without rests. Labels worth a warning: three augmented
triads stand an octave above the other chords on their root (`place_chord_root`), so register tells something about
chord type; and `silent` marks the notes for which SynTheory's own SoundFont has no sample, which our synthesiser plays.

Source: Wei, Freeman, Donahue and Sun, ISMIR 2024, and the code released with it.
"""

from collections.abc import Sequence

from mmsteer.data.midi import TICKS_PER_QUARTER, MidiNote, MidiTrack
from mmsteer.data.syntheory.catalogue import Category, Choice, Label
from mmsteer.data.syntheory.programs import PROGRAMS, SILENT, family
from mmsteer.data.theory import MODES, SEMITONES, TRIADS, pitch_class, triad
from mmsteer.types.pitch import PITCH_CLASSES

Chord = Sequence[int]
MIDDLE_C = 60
QUARTERS = 8
OCTAVES_PER_REGISTER = 3
INVERSIONS = ("5", "6", "64")
PROGRESSIONS = (
    *(f"ionian-{degrees}" for degrees in "1451 1465 1564 1645 2516 4156 4536 5415 5641 6415".split()),
    *(f"aeolian-{degrees}" for degrees in "1251 1341 1451 1637 1671 1673 1764 4711 7671".split()),
)


def place_tonic(tonic: int) -> int:
    """The MIDI number of a tonic: the one nearest middle C, F sharp and above below it.

    `tonic`: pitch class, 0 to 11.

    >>> place_tonic(5), place_tonic(6)
    (65, 54)
    """
    return MIDDLE_C + tonic if tonic < SEMITONES // 2 else MIDDLE_C - SEMITONES + tonic


def place_chord_root(root: int, chord_type: str) -> int:
    """The MIDI number of a chord's root in root position.

    An augmented triad stands on the third degree of the harmonic minor key a minor third below, and it is that
    key whose tonic is placed: on F sharp, G and G sharp it sounds an octave above the other types.

    `root`: pitch class, 0 to 11.
    `chord_type`: one of `TRIADS`.

    >>> place_chord_root(6, "major"), place_chord_root(6, "aug")
    (54, 66)
    """
    minor_third = 3
    if chord_type == "aug":
        return place_tonic((root - minor_third) % SEMITONES) + minor_third
    return place_tonic(root)


def progression_chords(key: int, progression: str) -> tuple[Chord, ...]:
    """The triads of a progression, as MIDI numbers.

    All notes stay in the octave above the tonic: the third and fifth of a chord on a high degree fall below its
    root, so that such chords sound as inversions.

    `key`: pitch class of the tonic, 0 to 11.
    `progression`: mode and scale degrees, such as `ionian-1451`.
    """
    mode, degrees = progression.split("-")
    scale = [place_tonic(key) + step for step in MODES[mode]]
    return tuple(tuple(scale[(int(degree) - 1 + third) % len(scale)] for third in (0, 2, 4)) for degree in degrees)


def _track(chords: Sequence[Chord], choice: Choice) -> MidiTrack:
    """Chords of equal length that fill the clip."""
    length = QUARTERS * TICKS_PER_QUARTER // len(chords)
    notes = tuple(MidiNote(place * length, length, pitch) for place, chord in enumerate(chords) for pitch in chord)
    return MidiTrack(notes, int(choice["program"]))


def _source(choice: Choice) -> dict[str, Label]:
    program = int(choice["program"])
    return {"program": program, "family": family(program)}


def _note_labels(choice: Choice) -> dict[str, Label]:
    midi, program = int(choice["midi"]), int(choice["program"])
    octave = midi // SEMITONES
    return {
        "root": PITCH_CLASSES[pitch_class(midi)],
        "octave": octave,
        "register": octave // OCTAVES_PER_REGISTER,
        "midi": midi,
        "silent": int(midi in SILENT.get(program, ())),
        **_source(choice),
    }


def _note_track(choice: Choice) -> MidiTrack:
    return _track([(int(choice["midi"]),)] * 4, choice)


def _interval_labels(choice: Choice) -> dict[str, Label]:
    return {
        "interval": choice["interval"],
        "root": PITCH_CLASSES[pitch_class(int(choice["base"]))],
        "style": choice["style"],
        **_source(choice),
    }


def _interval_track(choice: Choice) -> MidiTrack:
    low = int(choice["base"])
    high = low + int(choice["interval"])
    bars: dict[str, list[Chord]] = {
        "up": [(low,), (high,)],
        "down": [(high,), (low,)],
        "unison": [(low, high), (low, high)],
    }
    return _track(bars[str(choice["style"])] * 4, choice)


def _scale_labels(choice: Choice) -> dict[str, Label]:
    return {
        "mode": choice["mode"],
        "root": choice["root"],
        "style": choice["style"],
        **_source(choice),
    }


def _scale_track(choice: Choice) -> MidiTrack:
    tonic = place_tonic(PITCH_CLASSES.index(str(choice["root"])))
    rising = [(tonic + step,) for step in (*MODES[str(choice["mode"])], SEMITONES)]
    return _track(rising if choice["style"] == "up" else rising[::-1], choice)


def _chord_labels(choice: Choice) -> dict[str, Label]:
    return {
        "chord_type": choice["chord_type"],
        "inversion": choice["inversion"],
        "root": choice["root"],
        **_source(choice),
    }


def _chord_track(choice: Choice) -> MidiTrack:
    chord_type = str(choice["chord_type"])
    root = place_chord_root(PITCH_CLASSES.index(str(choice["root"])), chord_type)
    chord = triad(root, chord_type, INVERSIONS.index(str(choice["inversion"])))
    return _track([chord] * 4, choice)


def _progression_labels(choice: Choice) -> dict[str, Label]:
    return {
        "progression": choice["progression"],
        "mode": str(choice["progression"]).split("-")[0],
        "key": choice["key"],
        **_source(choice),
    }


def _progression_track(choice: Choice) -> MidiTrack:
    key = PITCH_CLASSES.index(str(choice["key"]))
    return _track(progression_chords(key, str(choice["progression"])), choice)


NOTES = Category(
    "notes",
    {"midi": tuple(range(9 * SEMITONES)), "program": PROGRAMS},
    _note_labels,
    _note_track,
)
INTERVALS = Category(
    "intervals",
    {
        "base": tuple(range(MIDDLE_C, MIDDLE_C + SEMITONES)),
        "interval": tuple(range(1, SEMITONES + 1)),
        "style": ("up", "down", "unison"),
        "program": PROGRAMS,
    },
    _interval_labels,
    _interval_track,
)
SCALES = Category(
    "scales",
    {"root": PITCH_CLASSES, "mode": tuple(MODES), "style": ("up", "down"), "program": PROGRAMS},
    _scale_labels,
    _scale_track,
)
CHORDS = Category(
    "chords",
    {"root": PITCH_CLASSES, "chord_type": tuple(TRIADS), "inversion": INVERSIONS, "program": PROGRAMS},
    _chord_labels,
    _chord_track,
)
SIMPLE_PROGRESSIONS = Category(
    "simple_progressions",
    {"key": PITCH_CLASSES, "progression": PROGRESSIONS, "program": PROGRAMS},
    _progression_labels,
    _progression_track,
)
