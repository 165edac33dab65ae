"""Reading anybody's audio file, or saying clearly why it cannot be read."""

from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from mmsteer.errors import EvalError

Samples = NDArray[np.float32]
Floats = NDArray[np.float64]
STREAMED = 0x7FFFF000  # a WAV written to a pipe promises this much or more: its length was never filled in
PADDING = 8  # bytes that careless writers count but do not write


@dataclass(frozen=True, eq=False)
class Audio:
    """One clip, mixed to mono.

    Attributes:
        samples: The mean of the channels, (samples,) float32, full scale 1.
        sample_rate: Samples per second.
        path: Where it was read from.
        channels: How many channels the file has.
    """

    samples: Samples
    sample_rate: int
    path: Path
    channels: int

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return len(self.samples) / self.sample_rate


def read_audio(path: str | Path) -> Audio:
    """Read a file in any format that soundfile reads: WAV, FLAC, Ogg, MP3, AIFF and others.

    Silence is audio; what reads it says that it is unvoiced.

    Args:
        path: The file.

    Raises:
        EvalError: The file is missing, no audio, cut off, empty, or holds numbers that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise EvalError(f"{path}: no such audio file; give the path of a WAV, FLAC, Ogg or MP3 file")
    frames, rate, declared = _decode(path)
    if not frames.size:
        raise EvalError(f"{path}: the audio is empty (zero samples); render it again")
    if len(frames) < declared:
        raise EvalError(
            f"{path}: the file is cut off: its header promises {declared} samples, {len(frames)} are there; "
            "copy or render it again"
        )
    check_samples(frames, rate, str(path))
    return Audio(frames.mean(axis=1, dtype=np.float32), rate, path, frames.shape[1])


def check_samples(samples: NDArray[np.floating], sample_rate: int, where: str = "samples") -> None:
    """Refuse what no evaluator can judge.

    Args:
        samples: Audio of any shape.
        sample_rate: Samples per second.
        where: What to call the audio in the message.

    Raises:
        EvalError: There is no sample, a sample is not finite, or the rate is not positive.
    """
    if sample_rate <= 0:
        raise EvalError(f"{where}: the sample rate is {sample_rate}; it must be positive")
    if not samples.size:
        raise EvalError(f"{where}: the audio is empty (zero samples)")
    bad = int(samples.size - np.isfinite(samples).sum())
    if bad:
        raise EvalError(f"{where}: {bad} of {samples.size} samples are not finite (NaN or infinite)")


def resample(samples: NDArray[np.floating], sample_rate: int, target_rate: int) -> Floats:
    """The clip as mono at another rate, by a polyphase filter.

    Args:
        samples: (samples,).
        sample_rate: Its samples per second.
        target_rate: The wanted samples per second.

    Raises:
        EvalError: The audio is not mono, is empty, or is not finite.
    """
    from scipy.signal import resample_poly  # slow to import, and not needed to read a file

    if samples.ndim != 1:
        raise EvalError(f"expected mono samples of shape (n,), got {samples.shape}; take the mean of the channels")
    check_samples(samples, sample_rate)
    if sample_rate == target_rate:
        return samples.astype(np.float64)
    shared = gcd(sample_rate, target_rate)
    resampled: Floats = resample_poly(samples.astype(np.float64), target_rate // shared, sample_rate // shared)
    return resampled


def _decode(path: Path) -> tuple[Samples, int, int]:
    try:
        with soundfile.SoundFile(path) as file:
            _check_riff(path)
            declared = file.frames
            return file.read(dtype="float32", always_2d=True), file.samplerate, declared
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise EvalError(
            f"{path}: not readable as audio ({_reason(error)}); give a WAV, FLAC, Ogg or MP3 file"
        ) from None


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


def _check_riff(path: Path) -> None:
    """Compare the length that a WAV header promises with the file: libsndfile shortens it silently.

    Args:
        path: The file.

    Raises:
        EvalError: The file ends too early.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return
    promised, there = int.from_bytes(head[4:8], "little") + 8, path.stat().st_size
    if there + PADDING < promised < STREAMED:
        raise EvalError(
            f"{path}: the file is cut off: its header promises {promised} bytes, {there} are there; "
            "copy or render it again"
        )
