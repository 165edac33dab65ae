"""Which metre a clip of the band is in: whether the low end is struck every third beat or every fourth."""

import numpy as np
from numpy.typing import NDArray

from mmsteer.eval.audio import Floats, resample
from mmsteer.eval.tempo import read_tempo
from mmsteer.worlds.band.world import METRES

RATE = 16_000
# Hz: bass and kick lie below, chords above.
HIGHEST_HZ = 125.0
AFTER_S = 0.15
# Share of the low end's variation over beats that the better metre explains, and by how much it leads the other.
MIN_FIT, MIN_LEAD = 0.5, 0.1


def read_metre(samples: NDArray[np.floating], sample_rate: int) -> str | None:
    """The metre, one of `METRES`; None where no beat or no bar can be told.

    Args:
        samples: Mono audio, (samples,).
        sample_rate: Samples per second.

    Raises:
        EvalError: The audio is not mono, is empty, or is not finite.
    """
    bpm = read_tempo(samples, sample_rate).bpm
    clip = resample(samples, sample_rate, RATE)
    if bpm is None:
        return None
    levels = _levels(clip, 60 / bpm)
    fits = {name: max(_explained(levels, beats, at) for at in range(beats)) for name, beats in METRES.items()}
    second, first = sorted(fits.values())[-2:]
    if first < MIN_FIT or first - second < MIN_LEAD:
        return None
    return max(fits, key=lambda name: fits[name])


def _levels(clip: Floats, beat_s: float) -> Floats:
    """Level of the low end just after each beat, the beats being where the low end is strongest, (beats,)."""
    from scipy.signal import butter, sosfiltfilt

    low = sosfiltfilt(butter(4, HIGHEST_HZ, fs=RATE, output="sos"), clip)
    power = np.convolve(low**2, np.ones(round(AFTER_S * RATE)) / (AFTER_S * RATE))[round(AFTER_S * RATE) - 1 :]
    step = beat_s * RATE
    phases = np.arange(0, step, RATE / 100)
    grids = [power[np.arange(phase, len(clip) - AFTER_S * RATE, step).astype(int)] for phase in phases]
    return np.asarray(np.sqrt(max(grids, key=lambda grid: float(np.mean(grid)))))


def _explained(levels: Floats, beats: int, first: int) -> float:
    """The share of the variance that a louder beat at every so manieth place explains."""
    strong = np.arange(len(levels)) % beats == first
    spread = float(levels.var())
    if strong.all() or not strong.any() or spread == 0:
        return 0.0
    gap = float(levels[strong].mean() - levels[~strong].mean())
    return 0.0 if gap <= 0 else float(strong.mean() * (1 - strong.mean())) * gap**2 / spread
