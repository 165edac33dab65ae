"""Reading anybody's audio file, or saying clearly why it cannot be read."""

import os
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from mmsteer.errors import EvalError
from mmsteer.eval.sound_file import open_sound

Samples = NDArray[np.float32]
Floats = NDArray[np.float64]
UNKNOWN = 1 << 62  # declared by libsndfile where the header has no length
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000
LONGEST = 1 << 29  # samples a channel, 3 hours at 48 kHz: a compressed file may hold any length of silence
BLOCK = 1 << 20  # samples read, or resampled, at once
SIDE_LEADS = 2.0  # in power; two instruments far left and far right have as much in the side as in the mid


@dataclass(frozen=True, eq=False)
class Audio:
    """One clip, mixed to mono.

    Attributes:
        samples: The mix, (samples,) float32, full scale 1.
        sample_rate: Samples per second.
        path: Where it was read from.
        channels: How many channels the file has.
        mix: `mono`; `mid`, the mean of the channels; or `side`, half the difference of two channels that cancel out in
            the mean, where it has more than twice the power.
    """

    samples: Samples
    sample_rate: int
    path: Path
    channels: int
    mix: str = "mono"

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return len(self.samples) / self.sample_rate


def read_audio(path: str | Path) -> Audio:
    """Read a file in any format that soundfile reads: WAV, FLAC, Ogg, MP3, AIFF and others, to its end.

    Silence is audio; what reads it says that it is unvoiced.

    Raises:
        EvalError: The file is missing, no audio, cut off, empty, longer than 2^29 samples a channel, has a sample rate
            outside 1 to 768 kHz, or holds numbers that are not finite.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise EvalError(f"{path}: no such audio file; give the path of a WAV, FLAC, Ogg or MP3 file")
    samples, rate, channels, declared, cancels = _decode(path)
    if cancels:
        # Decoded again rather than kept beside the mean: it is rare.
        samples = _decode(path, side=True)[0]
    if not samples.size:
        raise EvalError(f"{path}: the audio is empty (zero samples); render it again")
    if len(samples) < declared < UNKNOWN:
        raise EvalError(
            f"{path}: the file is cut off: its header promises {declared} samples, {len(samples)} are there; "
            "copy or render it again"
        )
    check_samples(samples, rate, str(path))
    return Audio(samples, rate, path, channels, "side" if cancels else "mono" if channels == 1 else "mid")


def _decode(path: Path, side: bool = False) -> tuple[Samples, int, int, int, bool]:
    try:
        with open_sound(path) as file:
            check_rate(file.samplerate, str(path))
            samples, cancels = _mixed(file, path, side)
            return samples, file.samplerate, file.channels, file.frames, cancels
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise EvalError(
            f"{path}: not readable as audio ({_reason(error)}); give a WAV, FLAC, Ogg or MP3 file"
        ) from None


def _mixed(file: soundfile.SoundFile, path: Path, side: bool = False) -> tuple[Samples, bool]:
    """The mean of the channels or half the difference of two, and whether the difference is what should be judged.

    Raises:
        EvalError: It is too long, or damaged.
    """
    blocks: list[Samples] = []
    middle, other = _Power(), _Power()
    size, count = max(BLOCK // file.channels, 1), 0
    while len(block := _block(file, size, count, path)):
        count += len(block)
        if count > LONGEST:
            raise EvalError(f"{path}: more than {LONGEST} samples a channel; cut it into shorter files")
        mean: Samples = block.mean(axis=1, dtype=np.float32)
        middle.add(mean)
        if file.channels == 2:
            difference = np.float32(0.5) * (block[:, 0] - block[:, 1])
            other.add(difference)
            mean = difference if side else mean
        blocks.append(mean)
    samples = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
    return samples, other.value > SIDE_LEADS * middle.value


class _Power:
    """Mean square around the mean, of blocks: an offset is no sound."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, block: Samples) -> None:
        self._count += len(block)
        self._sum += float(block.sum(dtype=np.float64))
        self._squares += float(np.square(block, dtype=np.float64).sum())

    @property
    def value(self) -> float:
        count = max(self._count, 1)
        return self._squares / count - (self._sum / count) ** 2


def _block(file: soundfile.SoundFile, size: int, count: int, path: Path) -> Samples:
    """The next samples.

    Raises:
        EvalError: They cannot be decoded.
    """
    try:
        return file.read(size, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise EvalError(
            f"{path}: the file is cut off or damaged: it cannot be decoded behind the first {count} of "
            f"{file.frames if file.frames < UNKNOWN else 'unknown'} samples ({_reason(error)}); copy or render it again"
        ) from None


def check_samples(samples: NDArray[np.floating], sample_rate: int, where: str = "samples") -> None:
    """Refuse what no evaluator can judge.

    Args:
        samples: Audio of any shape.
        sample_rate: Samples per second.
        where: What to call the audio in the message.

    Raises:
        EvalError: There is no sample, a sample is not finite, or the rate is not within 1 to 768 kHz.
    """
    check_rate(sample_rate, where)
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
    if samples.ndim != 1:
        raise EvalError(f"expected mono samples of shape (n,), got {samples.shape}; take the mean of the channels")
    check_samples(samples, sample_rate)
    if sample_rate == target_rate:
        return samples.astype(np.float64)
    shared = gcd(sample_rate, target_rate)
    return _polyphase(samples, target_rate // shared, sample_rate // shared)


def check_rate(sample_rate: int, where: str = "samples") -> None:
    """Refuse a sample rate that no recording has: a header that lies would cost any amount of memory.

    `sample_rate`: samples per second.
    `where`: what to call the audio in the message.

    Raises:
        EvalError: It is not within 1 to 768 kHz.
    """
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise EvalError(
            f"{where}: the sample rate is {sample_rate} Hz; it must be {LOWEST_RATE} to {HIGHEST_RATE} Hz. "
            "Is the header right?"
        )


def _polyphase(samples: NDArray[np.floating], up: int, down: int) -> Floats:
    """What `scipy.signal.resample_poly` gives, in blocks that know the samples around them."""
    from scipy.signal import firwin, resample_poly  # slow to import, and not needed to read a file

    half = 10 * max(up, down)  # taps on each side, at the common multiple of the rates
    taps = firwin(2 * half + 1, 1 / max(up, down), window=("kaiser", 5.0))
    block, margin = down * -(-BLOCK // down), down * (half // (up * down) + 2)
    resampled = np.empty(-(-len(samples) * up // down))
    for start in range(0, len(samples), block):
        first = max(start - margin, 0)
        part = resample_poly(samples[first : start + block + margin].astype(np.float64), up, down, window=taps)
        skip = (start - first) // down * up
        at = start // down * up
        resampled[at : at + block // down * up] = part[skip : skip + block // down * up]
    return resampled


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
