"""Which interval is played, one note after the other or both at once.

Accuracy on 150 intervals of SynTheory's form that FluidSynth played with FluidR3: size 92 %, cannot tell 8 %,
wrong 0 %. Direction is less sure: notes that ring into one another can pass for both at once.
`python benchmarks/evaluators.py --soundfont` measures it again on its own draw.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mmsteer.eval.activity import LOWEST, Activity, read_activity
from mmsteer.eval.audio import Floats
from mmsteer.eval.melody import HeardNote, read_melody

INTERVALS = ("P1", "m2", "M2", "m3", "M3", "P4", "TT", "P5", "m6", "M6", "m7", "M7", "P8")
MIN_TURNS, EVEN = 3, 0.75  # notes of a line, and the time of the second over the first, that tell turns from reverb
MAJORITY = 0.6  # of the steps of a line have the same size
ALWAYS = 0.2  # quantile over time: notes that alternate are weak in half of the frames
SECOND = 0.2  # strength of the second note over the first: the overtones of a single one lie below
THIRD = 0.6  # of the second: with a third note as strong it is a chord


@dataclass(frozen=True, eq=False)
class IntervalReading:
    """The interval of a clip.

    Attributes:
        semitones: Its size, from 1 to 12; None when there is no single interval.
        name: Such as `P5`; None as above.
        kind: `up`, `down` (the direction of the first step) or `together`; None as above.
        root: MIDI note of its lower tone; None as above.
        trace: The size of each step of the line in semitones, falling steps negative, (steps,).
        times_s: When each step happens, (steps,).
    """

    semitones: int | None
    name: str | None
    kind: str | None
    root: int | None
    trace: Floats
    times_s: Floats


def read_interval(samples: NDArray[np.floating], sample_rate: int) -> IntervalReading:
    """Find the interval that a clip repeats.

    `samples`: mono audio, (samples,).
    `sample_rate`: samples per second.

    Raises:
        EvalError: The audio is not mono, is empty, or is not finite.
    """
    return interval_from_activity(read_activity(samples, sample_rate))


def interval_from_activity(activity: Activity) -> IntervalReading:
    """Find the interval that a clip repeats whose notes are known."""
    melody = read_melody(activity)
    steps = np.array([after.midi - before.midi for before, after in pairwise(melody)])
    times = np.array([note.onset_s for note in melody[1:]])
    in_turn = _melodic(melody, steps)
    found = in_turn if in_turn and _takes_turns(melody) else _together(activity) or in_turn
    if not found:
        return IntervalReading(None, None, None, None, steps, times)
    semitones, kind, root = found
    return IntervalReading(semitones, INTERVALS[semitones], kind, root, steps, times)


def _melodic(melody: tuple[HeardNote, ...], steps: Floats) -> tuple[int, str, int] | None:
    sizes = Counter(abs(int(step)) for step in steps if step)
    if not sizes:
        return None
    size, count = sizes.most_common(1)[0]
    if size > 12 or count < MAJORITY * sizes.total():
        return None
    first = int(np.flatnonzero(np.abs(steps) == size)[0])
    return size, "up" if steps[first] > 0 else "down", min(melody[first].midi, melody[first + 1].midi)


def _takes_turns(melody: tuple[HeardNote, ...]) -> bool:
    """Whether the line divides its time between two notes, as the stronger note of a held interval does not."""
    first, second = np.sort([sum(n.duration_s for n in melody if n.midi == midi) for midi in range(128)])[-1:-3:-1]
    return len(melody) > MIN_TURNS and second > EVEN * first


def _together(activity: Activity) -> tuple[int, str, int] | None:
    """Two notes that sound in the same frames, all the time."""
    if not activity.voiced.any():
        return None
    notes = activity.notes[activity.voiced]
    always = np.quantile(notes / np.maximum(notes.max(axis=1, keepdims=True), 1e-12), ALWAYS, axis=0)
    first, second, third = np.argsort(always)[::-1][:3]
    if always[second] < SECOND or always[third] > THIRD * always[second]:
        return None
    size = abs(int(first) - int(second))
    return (size, "together", LOWEST + int(min(first, second))) if size <= 12 else None
