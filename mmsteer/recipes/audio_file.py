"""Clips as the files that run folders keep."""

import io

import numpy as np
import soundfile


def to_flac(wave: np.ndarray, sample_rate: int) -> bytes:
    """Audio as a FLAC file of 16 bit; what exceeds full scale is clipped.

    Args:
        wave: (samples,) or (samples, channels).
        sample_rate: In Hz.
    """
    file = io.BytesIO()
    soundfile.write(file, np.clip(wave, -1.0, 1.0), sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
