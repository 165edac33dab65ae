"""Audio that models are given: at their sample rate, with their channels, and in batches of one length."""

from collections.abc import Sequence
from math import ceil, gcd

import numpy as np
from numpy.typing import NDArray

from mmsteer.errors import AdapterError
from mmsteer.types import Sample, Waveform


def fitted(wave: Waveform, sample_rate: int, channels: int, where: str) -> NDArray[np.float32]:
    """Audio as a model takes it, (channels, samples).

    `sample_rate`: the model's.
    `channels`: the model's; one takes the mean of several, and several each take the only one.
    `where`: what to call the audio in an error.

    Raises:
        AdapterError: It is empty, not finite, or has another number of channels.
    """
    samples = np.asarray(wave.samples, dtype=np.float32)
    samples = samples[None] if samples.ndim == 1 else samples.T
    if samples.ndim != 2 or not samples.size or len(samples) > 2 or not np.isfinite(samples).all():
        raise AdapterError(
            f"{where}: expected finite audio (samples,) or (samples, 2), got shape {np.shape(wave.samples)}"
        )
    if channels == 1:
        samples = samples.mean(axis=0, keepdims=True)
    # A copy: PyTorch takes no view of one channel as two.
    return np.array(_resampled(np.broadcast_to(samples, (channels, samples.shape[1])), wave, sample_rate))


def frames_of(samples: int, sample_rate: int, rate: float) -> int:
    """Frames that a codec makes of audio.

    Args:
        samples: Of each channel.
        sample_rate: Samples per second.
        rate: Frames per second.
    """
    # One division, at the end: 0.14 s times 50 Hz is more than 7.
    return ceil(samples * rate / sample_rate)


def alike(samples: Sequence[Sample]) -> list[list[int]]:
    """Rows that can run together, because the audio that they are given is equally long.

    Padding would be part of the music.
    """
    rows: dict[object, list[int]] = {}
    for row, sample in enumerate(samples):
        rows.setdefault((_length(sample.audio_prompt), _length(sample.melody)), []).append(row)
    return list(rows.values())


def _length(wave: Waveform | None) -> tuple[int, int] | None:
    return None if wave is None else (len(wave.samples), wave.sample_rate)


def _resampled(samples: NDArray[np.float32], wave: Waveform, sample_rate: int) -> NDArray[np.float32]:
    if wave.sample_rate == sample_rate:
        return samples
    from scipy.signal import resample_poly  # slow to import

    shared = gcd(wave.sample_rate, sample_rate)
    return resample_poly(samples, sample_rate // shared, wave.sample_rate // shared, axis=1).astype(np.float32)
