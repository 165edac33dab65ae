"""What an instrument sounds like, as numbers that do not depend on the pitch it plays."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mmsteer.eval.activity import BINS, HOP_S, LOWEST, Activity
from mmsteer.eval.audio import Floats, resample
from mmsteer.eval.onsets import OnsetReading

PARTIALS = np.array([0.5, 1, 2, 2.76, 3, 4, 5, 6, 7, 8, 10, 12])  # 2.76: the second mode of a bar
FLOOR_DB = -50.0
RATE, HOP = 16_000, 160  # 10 ms
ENVELOPE = np.array([-3, -1, 0, 1, 2, 3, 5, 8, 12, 18, 25, 35])  # frames from an onset
BANDS_HZ = np.geomspace(80, 7500, 17)


def timbre_features(
    samples: NDArray[np.floating], sample_rate: int, activity: Activity, onsets: OnsetReading
) -> Floats:
    """Harmonic profile, envelope around the onsets, bands and register, (features,).

    Silence before the first sound and a constant offset, which a recording may have, are left out.

    `samples`: mono audio, (samples,).
    `sample_rate`: samples per second.
    """
    clip = resample(samples, sample_rate, RATE)
    clip -= clip.mean()
    voiced = activity.voiced
    pitch = activity.notes.argmax(axis=1)[voiced] + LOWEST
    profile = _profile(activity.spectrum[voiced], pitch)
    register = np.array([np.median(pitch), np.percentile(pitch, 10), np.percentile(pitch, 90)]) / 12
    return np.concatenate([profile, _envelope(clip, onsets), _bands(_from_first_sound(clip, activity)), register])


def _from_first_sound(clip: Floats, activity: Activity) -> Floats:
    # The frames of an activity are as wide as that: the first that is audible begins before the sound does.
    return clip[round(activity.first_sound * HOP_S * RATE) :]


def _decibel(amplitude: Floats, reference: Floats | float) -> Floats:
    ratio = amplitude / np.maximum(reference, 1e-12)
    return np.asarray(np.maximum(20 * np.log10(np.maximum(ratio, 1e-12)), FLOOR_DB))


def _profile(spectrum: Floats, pitch: NDArray[np.integer]) -> Floats:
    """Level of each partial of the strongest note against the whole frame, mean and spread, in dB."""
    padded = np.pad(spectrum, ((0, 0), (BINS * 12, BINS * 60)))
    at = (pitch - LOWEST) * BINS + BINS * 12
    offsets = np.round(12 * BINS * np.log2(PARTIALS)).astype(int)
    rows = np.arange(len(padded))[:, None]
    near = np.stack([padded[rows, at[:, None] + offsets + shift] for shift in (-1, 0, 1)]).max(axis=0)
    level = _decibel(near, np.linalg.norm(spectrum, axis=1, keepdims=True))
    return np.concatenate([level.mean(axis=0), level.std(axis=0)])


def _envelope(clip: Floats, onsets: OnsetReading) -> Floats:
    """Median level around the onsets against the loudest moment after them, in dB."""
    count = len(clip) // HOP
    blocks = clip[: count * HOP].reshape(count, HOP)
    level = np.pad(np.sqrt((blocks**2).mean(axis=1)), (-int(ENVELOPE.min()), int(ENVELOPE.max()) + 1))
    at = np.round(onsets.onsets_s * RATE / HOP).astype(int) - int(ENVELOPE.min())
    if not len(at):
        return np.zeros(len(ENVELOPE))
    around = level[np.minimum(at[:, None] + ENVELOPE, len(level) - 1)]
    return np.asarray(np.median(_decibel(around, around[:, 2:].max(axis=1, keepdims=True)), axis=0))


def _bands(clip: Floats) -> Floats:
    """Mean and spread of the level in bands of a third of the ear's range, in dB."""
    window = 512
    padded = np.pad(clip, (0, max(0, window - len(clip))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 2] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.searchsorted(np.fft.rfftfreq(window, 1 / RATE), BANDS_HZ)
    band = np.sqrt(np.stack([power[:, a : max(b, a + 1)].sum(axis=1) for a, b in pairwise(edges)], 1))
    level = _decibel(band, float(np.linalg.norm(band, axis=1).max()))
    return np.concatenate([level.mean(axis=0), level.std(axis=0)])
