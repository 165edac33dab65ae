"""Tones whose truth is known because a few lines of numpy made them; no code of the project is involved."""

import numpy as np

RATE = 16000


def tone(midi, seconds=1.0, rate=RATE, decay=0.6, harmonics=8, gain=0.3):
    """A harmonic tone with a soft start and end."""
    frequency = 440 * 2 ** ((midi - 69) / 12)
    t = np.arange(round(seconds * rate)) / rate
    numbers = [k for k in range(1, harmonics + 1) if k * frequency < 0.47 * rate]
    wave = sum(decay ** (k - 1) * np.sin(2 * np.pi * k * frequency * t) for k in numbers)
    return gain * wave * np.minimum(1, np.minimum(t, t[::-1]) / 0.01)


def line(midis, each_s, **options):
    """Tones one after another."""
    return np.concatenate([tone(midi, each_s, **options) for midi in midis])


def chord(midis, seconds=1.0, **options):
    """Tones at once."""
    return sum(tone(midi, seconds, gain=0.1, **options) for midi in midis)


def noise(seconds=4.0, rate=RATE, gain=0.1, seed=0):
    """White noise."""
    return gain * np.random.default_rng(seed).standard_normal(round(seconds * rate))


def drums(seconds=4.0, rate=RATE, per_second=4, gain=0.5, seed=0):
    """Bursts of decaying noise."""
    out = np.zeros(round(seconds * rate))
    burst = noise(0.2, rate, gain, seed) * np.exp(-np.arange(round(0.2 * rate)) / (0.03 * rate))
    for onset_s in np.arange(0.05, seconds - 0.25, 1 / per_second):
        at = round(onset_s * rate)
        out[at : at + len(burst)] += burst
    return out
