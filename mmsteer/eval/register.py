"""How high the main line lies.

Accuracy on 150 single notes that FluidSynth played with FluidR3: 97.3 % to the semitone, the others one or two octaves
off. `python benchmarks/evaluators.py --soundfont` measures it again on its own draw.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsteer.eval.activity import LOWEST, Activity, read_activity
from mmsteer.eval.audio import Floats

MIN_VOICED = 0.05


@dataclass(frozen=True, eq=False)
class RegisterReading:
    """The height of a clip's main line.

    Attributes:
        midi: The median MIDI note of the voiced frames; None when the clip is unvoiced.
        octave: Its octave, 4 for the one from middle C; None as above.
        trace: The MIDI note of each frame, fractions included, NaN where unvoiced, (frames,).
        times_s: The middle of each frame, (frames,).
    """

    midi: float | None
    octave: int | None
    trace: Floats
    times_s: Floats


def read_register(samples: NDArray[np.floating], sample_rate: int) -> RegisterReading:
    """Find how high the strongest line of a clip lies.

    `samples`: mono audio, (samples,).
    `sample_rate`: samples per second.

    Raises:
        EvalError: The audio is not mono, is empty, or is not finite.
    """
    return register_from_activity(read_activity(samples, sample_rate))


def register_from_activity(activity: Activity) -> RegisterReading:
    """Find how high the strongest line lies in a clip whose notes are known."""
    trace = main_line(activity)
    voiced = np.isfinite(trace)
    if activity.voiced_share < MIN_VOICED:
        return RegisterReading(None, None, np.full(len(trace), np.nan), activity.times_s)
    midi = float(np.median(trace[voiced]))
    return RegisterReading(midi, int(round(midi) // 12 - 1), trace, activity.times_s)


def main_line(activity: Activity) -> Floats:
    """The MIDI note of the strongest note of each frame, NaN where unvoiced, (frames,)."""
    strongest = activity.notes.argmax(axis=1) + LOWEST + activity.tuning
    return np.where(activity.voiced, strongest, np.nan)
