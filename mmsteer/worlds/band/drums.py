"""The band's drum kit: two sounds that are the same each time, as notes of the synthesiser are."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
KICK_S, SNAP_S = 0.14, 0.05
# Hz: the kick falls from the first to the second, below the bass's octave.
KICK_HIGH, KICK_LOW = 110.0, 45.0
KICK_GAIN, SNAP_GAIN = 0.25, 0.4


@cache
def kick(sample_rate: int) -> Samples:
    """A falling sine and the snap, (samples,).

    Args:
        sample_rate: Samples per second.
    """
    time_s = np.arange(round(KICK_S * sample_rate)) / sample_rate
    falling = KICK_LOW + (KICK_HIGH - KICK_LOW) * np.exp(-time_s / 0.03)
    tone = KICK_GAIN * np.sin(2 * np.pi * np.cumsum(falling) / sample_rate) * _fade(time_s, 0.05, KICK_S)
    tone[: round(SNAP_S * sample_rate)] += snap(sample_rate)
    return np.asarray(tone, dtype=np.float32)


@cache
def snap(sample_rate: int) -> Samples:
    """A burst of white noise, (samples,): strong in every band, as a beat that is to be found must be.

    Args:
        sample_rate: Samples per second.
    """
    time_s = np.arange(round(SNAP_S * sample_rate)) / sample_rate
    burst = np.random.default_rng(7).standard_normal(len(time_s)) * _fade(time_s, 0.015, SNAP_S)
    return np.asarray(SNAP_GAIN * burst / np.abs(burst).max(), dtype=np.float32)


def _fade(time_s: NDArray[np.float64], decay_s: float, end_s: float) -> NDArray[np.float64]:
    """Decay to nothing at the end, after a rise of 2 ms."""
    rise = np.clip(time_s / 0.002, 0, 1)
    return np.asarray(rise * np.exp(-time_s / decay_s) * (1 - time_s / end_s))
