"""Which key a clip is in, and which scale it runs through.

Accuracy where FluidSynth played with FluidR3: mode and tonic 92 % of 60 scales, cannot tell 8 %; key 40 of 40 cadences.
`python benchmarks/evaluators.py --soundfont` measures it again on its own draw.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsteer.errors import EvalError, clip
from mmsteer.eval.activity import HOP_S, Activity, read_activity
from mmsteer.eval.audio import Floats
from mmsteer.eval.melody import HeardNote, class_shares, read_melody
from mmsteer.types.pitch import PITCH_CLASSES

# Mean share of each scale degree in 982 pieces. Source: Albrecht and Shanahan 2013, Music Perception 31(1), table 3.
PROFILES = {
    "major": (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
    "minor": (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
}
IONIAN = (0, 2, 4, 5, 7, 9, 11)
MODES = ("ionian", "dorian", "phrygian", "lydian", "mixolydian", "aeolian", "locrian")
SCALES = {mode: frozenset((step - IONIAN[degree]) % 12 for step in IONIAN) for degree, mode in enumerate(MODES)}
MIN_FIT = 0.6  # correlation with the best profile; pitch classes drawn at random reach it one time in ten
MIN_LEAD = 0.02  # over the second best
MIN_CLASSES = 3  # a single note or interval has no key
PRESENT = 0.04  # of the time: a note of a scale of eight takes 0.125
WINDOW_S = 4.0


@dataclass(frozen=True, eq=False)
class KeyReading:
    """The key and the scale of a clip.

    Attributes:
        key: In the syntax of mir_eval, such as `C# minor`; None when it cannot be told.
        fit: Correlation with the best profile.
        scale: One of `MODES`, where the line runs through a scale from tonic to tonic; otherwise None.
        tonic: The tonic of that scale; None as above.
        trace: The key in each window of 4 s, None where it cannot be told.
        times_s: The middle of each window, (windows,).
    """

    key: str | None
    fit: float
    scale: str | None
    tonic: str | None
    trace: tuple[str | None, ...]
    times_s: Floats


def read_key(samples: NDArray[np.floating], sample_rate: int) -> KeyReading:
    """Find the key of a clip.

    `samples`: mono audio, (samples,).
    `sample_rate`: samples per second.

    Raises:
        EvalError: The audio is not mono, is empty, or is not finite.
    """
    return key_from_activity(read_activity(samples, sample_rate))


def key_from_activity(activity: Activity) -> KeyReading:
    """Find the key of a clip whose notes are known."""
    chroma = activity.chroma * activity.voiced[:, None]
    key, fit = _key(chroma)
    mode, tonic = _scale(read_melody(activity)) or (None, None)
    size = max(1, round(WINDOW_S / HOP_S))
    starts = range(0, max(len(chroma) - size // 2, 1), size // 2)
    trace = tuple(_key(chroma[at : at + size])[0] for at in starts)
    middles = np.array([(at + min(at + size, len(chroma))) / 2 * HOP_S for at in starts])
    return KeyReading(key, fit, mode, tonic, trace, middles)


def key_score(reading: str | None, truth: str) -> float | None:
    """The weighted score of a key: 1 if right, 0.5 a fifth away, 0.3 relative, 0.2 parallel; None for no key.

    `reading`: such as `C major`, or None.
    `truth`: in any spelling that `parse_key` takes.

    Raises:
        EvalError: One of them is no key.

    The five other modes are one, `other`, as mir_eval has it: C minor scores 0.2 against C dorian.

    Source: MIREX audio key detection, by mir_eval.key.weighted_score (Raffel et al. 2014).
    """
    import mir_eval.key

    wanted = parse_key(truth)
    if reading is None:
        return None
    try:
        return float(mir_eval.key.weighted_score(_mir_eval(wanted), _mir_eval(parse_key(reading))))
    except ValueError as error:
        raise EvalError(f"no key: {error}; write it as 'C# minor'") from None


def parse_key(text: str) -> str:
    """A key in the syntax of mir_eval: tonic and mode, `X` where there is none.

    `text`: such as `C# minor`, `c# min`, `a:min`, `Bbm`, `C` (major) or `D dorian`; case counts in `M` and `m` alone.

    Raises:
        EvalError: It is no key.

    >>> [parse_key(text) for text in ("C", "a:min", "Bbm", "D Dorian", "f# MAJOR")]
    ['C major', 'A minor', 'Bb minor', 'D dorian', 'F# major']
    """
    match = _KEY.fullmatch(text.strip().replace("♯", "#").replace("♭", "b"))
    mode = match and _MODES.get(match[2] if match[2] in ("M", "m") else match[2].lower())
    if match is None or mode is None:
        if text.strip().upper() == "X":
            return "X"
        raise EvalError(f"no key: {clip(text)}; write it as 'C# minor', 'a:min', 'C' for major, or 'D dorian'")
    return f"{match[1].capitalize()} {mode}"


def _mir_eval(key: str) -> str:
    """Major, minor and other are the modes that it knows."""
    tonic, _, mode = key.partition(" ")
    known = {"": "", "major": " major", "ionian": " major", "minor": " minor", "aeolian": " minor"}
    return tonic + known.get(mode, " other")


_KEY = re.compile(r"([A-Ga-g][#b]?)[\s:]*([A-Za-z]*)")
_MODES = {
    **{mode: mode for mode in (*MODES, "major", "minor", "other")},
    **{"": "major", "M": "major", "maj": "major", "m": "minor", "min": "minor"},
}


def _key(chroma: Floats) -> tuple[str | None, float]:
    strength = chroma.sum(axis=0)
    if (strength > 0.1 * strength.max()).sum() < MIN_CLASSES:
        return None, 0.0
    fits = {
        f"{PITCH_CLASSES[root]} {mode}": float(np.corrcoef(np.roll(profile, root), strength)[0, 1])
        for mode, profile in PROFILES.items()
        for root in range(12)
    }
    second, best = sorted(fits, key=lambda key: fits[key])[-2:]
    sure = fits[best] >= MIN_FIT and fits[best] - fits[second] >= MIN_LEAD
    return (best if sure else None), fits[best]


def _scale(melody: tuple[HeardNote, ...]) -> tuple[str, str] | None:
    """The mode and tonic of a line that spans exactly one octave, from tonic to tonic."""
    if not melody:
        return None
    lowest, highest = min(note.midi for note in melody), max(note.midi for note in melody)
    classes = np.flatnonzero(class_shares(melody) >= PRESENT)
    heard = frozenset(int(pitch - lowest) % 12 for pitch in classes)
    if highest - lowest != 12 or {melody[0].midi, melody[-1].midi} != {lowest, highest}:
        return None
    return next(((mode, PITCH_CLASSES[lowest % 12]) for mode, steps in SCALES.items() if steps == heard), None)
