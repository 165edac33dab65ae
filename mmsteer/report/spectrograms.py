"""Clips as pictures: time from left to right, pitch from bottom to top, the louder the darker."""

from io import BytesIO
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LOWEST_HZ = 60.0
ROWS = 72
WINDOW_S = 0.064
HOP_S = 0.016
RANGE_DB = 60.0


def spectrogram(wave: NDArray[np.floating], sample_rate: int) -> bytes:
    """A PNG of a clip, logarithmic in frequency, 60 dB from white to black."""
    size, hop = round(WINDOW_S * sample_rate), round(HOP_S * sample_rate)
    padded = np.pad(np.asarray(wave, dtype=np.float64), (size // 2, size))
    starts = np.arange(0, len(padded) - size + 1, hop)
    frames = padded[starts[:, None] + np.arange(size)] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    edges = np.geomspace(LOWEST_HZ, sample_rate / 2, ROWS + 1) * size / sample_rate
    rows = [power[:, int(low) : max(int(high), int(low) + 1)].max(axis=1) for low, high in pairwise(edges)]
    level = 10 * np.log10(np.stack(rows[::-1]) + 1e-12)
    grey = np.clip((level.max() - level) / RANGE_DB, 0, 1) * 255
    file = BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(file, "PNG", optimize=True)
    return file.getvalue()
