"""Which notes sound when: the front end of every evaluator that hears pitch.

The clip is brought to 16 kHz, projected on a logarithmic frequency axis of three bins a semitone that follows the
clip's own tuning, weighted as the ear weighs loudness, and explained as a sum of harmonic notes. A harmonic that
belongs to a lower note is explained by that note, so that a bright C does not read as G. It needs numpy and scipy
alone, has no warm-up, and takes about 0.06 s for a clip of 4 s on one core.

Source: Mauch and Dixon 2010, Approximate note transcription for the improved identification of difficult chords
(log-frequency spectrum, tuning, note dictionary); Lee and Seung 2001, Algorithms for non-negative matrix
factorization (updates); IEC 61672 (A-weighting); Fitzgerald 2010, Harmonic/percussive separation using median
filtering (what stands out of its surroundings in frequency and stays in time is tonal).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from mmsteer.eval.audio import Floats, resample

RATE = 16_000
WINDOW, FFT, HOP = 4096, 8192, 512
HOP_S = HOP / RATE
LOWEST, HIGHEST = 24, 115  # MIDI notes of the dictionary
TOP = 119  # MIDI note of the highest frequency looked at, 7.9 kHz
BINS = 3  # a semitone
TUNING_STEPS = 20  # a semitone: the kernel follows the tuning to 5 cents
DECAYS = (0.55, 0.8)  # each harmonic relative to the one below: a dull and a bright timbre
COMPRESSION = 0.75  # of magnitudes, so that a loud bass does not hide the rest
ITERATIONS = 20
PIECE = 256  # frames that are looked at together: they overlap eight times, and a long file's fill the memory
AUDIBLE = 1e-4  # of full scale, -80 dB
GATE = 1e-2  # of the loudest frame, -40 dB
TONAL = 0.25  # noise reads 0.1, a note in noise of 5 dB reads 0.8
PEAKED = 0.16  # strongest pitch class over all twelve: drums read 0.13, a dense mix 0.2 to 0.5


@dataclass(frozen=True, eq=False)
class Activity:
    """The notes heard in a clip.

    Attributes:
        spectrum: A-weighted magnitudes on an axis of `BINS` a semitone from `LOWEST` on, (frames, bins).
        notes: Strength of the tempered notes from `LOWEST` to `HIGHEST`, (frames, notes).
        loudness: A-weighted level of each frame, about 1 for a full-scale tone at 1 kHz, (frames,).
        tonal: How much of each frame stands out of its surroundings, from 0 to about 1, (frames,).
        tuning: How far the clip is sharp of A = 440 Hz, in semitones.
    """

    spectrum: Floats
    notes: Floats
    loudness: Floats
    tonal: Floats
    tuning: float

    @property
    def times_s(self) -> Floats:
        """The middle of each frame, (frames,)."""
        return np.arange(len(self.notes), dtype=np.float64) * HOP_S

    @property
    def chroma(self) -> Floats:
        """The strength of the twelve pitch classes C..B, (frames, 12)."""
        classes = np.arange(LOWEST, HIGHEST + 1) % 12
        chroma: Floats = self.notes @ (classes[:, None] == np.arange(12)).astype(np.float64)
        return chroma

    @property
    def audible(self) -> NDArray[np.bool_]:
        """Frames within 40 dB of the loudest, (frames,)."""
        return (self.loudness > AUDIBLE) & (self.loudness > GATE * self.loudness.max())

    @property
    def first_sound(self) -> int:
        """The first audible frame; 0 where none is."""
        return int(self.audible.argmax())

    @property
    def voiced_share(self) -> float:
        """The share of voiced frames from the first sound on: what a recording begins with is no part of the music."""
        return float(self.voiced[self.first_sound :].mean())

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Audible frames in which some pitch stands out, (frames,)."""
        chroma = self.chroma
        peaked = chroma.max(axis=1) > PEAKED * chroma.sum(axis=1)
        return self.audible & (self.tonal > TONAL) & peaked


def read_activity(samples: NDArray[np.floating], sample_rate: int) -> Activity:
    """Explain a clip as notes.

    `samples`: mono audio, (samples,).
    `sample_rate`: samples per second.

    Raises:
        EvalError: The audio is not mono, is empty, or is not finite.
    """
    frames = _frames(_centred(samples, sample_rate))
    # The matrices are small: on a busy machine several threads wait for one another 15 times as long as they work.
    with _thread_pools().limit(limits=1, user_api="blas"):
        tuning = _tuning(frames)
        spectrum = _spectrum(frames, _kernel(round(tuning * TUNING_STEPS)))
        loudness = np.sqrt((spectrum**2).sum(axis=1))
        return Activity(spectrum, _explain(spectrum), loudness, _tonal(spectrum), tuning)


@lru_cache(maxsize=1)
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()


def _centred(samples: NDArray[np.floating], sample_rate: int) -> NDArray[np.float32]:
    clip = resample(samples, sample_rate, RATE)
    clip -= clip.mean()
    return clip.astype(np.float32)


def _frames(clip: NDArray[np.float32]) -> NDArray[np.float32]:
    count = -(-len(clip) // HOP)
    padded = np.pad(clip, (WINDOW // 2, WINDOW // 2 + HOP))
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:count]


@lru_cache(maxsize=1)
def _window() -> NDArray[np.float32]:
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


def _magnitude(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    return (np.abs(np.fft.rfft(frames * _window(), FFT)) / (WINDOW / 4)).astype(np.float32)


def _spectrum(frames: NDArray[np.float32], kernel: Any) -> Floats:
    """The weighted log-frequency magnitudes, (frames, bins); in pieces, so that long files fit in memory."""
    parts = [_magnitude(frames[at : at + PIECE]) ** 2 @ kernel for at in range(0, len(frames), PIECE)]
    return np.sqrt(np.concatenate(parts).astype(np.float64)) * _ear()


def _tuning(frames: NDArray[np.float32], limit: int = 96) -> float:
    """The circular mean of the distances of spectral peaks from the tempered scale, in semitones."""
    energy = np.concatenate([(frames[at : at + PIECE] ** 2).sum(axis=1) for at in range(0, len(frames), PIECE)])
    loudest = np.argsort(energy)[::-1][:limit]
    low, high = int(80 * FFT / RATE), int(3500 * FFT / RATE)
    level = np.log(_magnitude(frames[loudest])[:, low - 1 : high + 1] + 1e-9)
    left, middle, right = level[:, :-2], level[:, 1:-1], level[:, 2:]
    strong = middle > middle.max(axis=1, keepdims=True) - 4  # 35 dB
    row, column = np.nonzero((middle > left) & (middle >= right) & strong)
    below, peak, above = left[row, column], middle[row, column], right[row, column]
    offset = 0.5 * (below - above) / (below - 2 * peak + above - 1e-12)
    pitch = 12 * np.log2((low + column + offset) * RATE / FFT / 440)
    weight = np.exp(peak)
    mean = (weight * np.exp(2j * np.pi * pitch)).sum() / (weight.sum() + 1e-12)
    # Peaks that disagree say nothing about the tuning.
    return float(np.angle(mean) / (2 * np.pi)) if abs(mean) > 0.3 else 0.0


def _centres(tuning: float = 0.0) -> Floats:
    midi = np.arange((TOP - LOWEST) * BINS + 1) / BINS + LOWEST + tuning
    return 440 * 2 ** ((midi - 69) / 12)


@lru_cache(maxsize=2 * TUNING_STEPS)
def _kernel(step: int) -> Any:
    """Triangles from FFT power to log-frequency power, sparse (FFT bins, bins), at a tuning in steps."""
    from scipy.sparse import csc_array

    frequency = np.arange(FFT // 2 + 1) * RATE / FFT
    centres = _centres(step / TUNING_STEPS)
    width = np.maximum(centres * (2 ** (1 / 12 / BINS) - 1), RATE / FFT)
    return csc_array(np.maximum(0, 1 - np.abs(frequency[:, None] - centres) / width).astype(np.float32))


@lru_cache(maxsize=1)
def _ear() -> Floats:
    """The A-weighting of every bin as a factor, 1 at 1 kHz."""
    square = _centres() ** 2
    gain = 12194**2 * square**2 / (square + 20.6**2) / (square + 12194**2)
    return 1.2589 * gain / np.sqrt((square + 107.7**2) * (square + 737.9**2))


@lru_cache(maxsize=1)
def _dictionary() -> Floats:
    """The spectrum of every note in every timbre, each summing to 1, (bins, timbres x notes)."""
    tones = [_tone(midi, decay) for decay in DECAYS for midi in range(LOWEST, HIGHEST + 1)]
    spectra: Floats = _spectrum(np.array(tones, dtype=np.float32), _kernel(0)).T ** COMPRESSION
    return spectra / spectra.sum(axis=0)


def _tone(midi: int, decay: float) -> Floats:
    frequency = 440 * 2 ** ((midi - 69) / 12)
    harmonics = np.arange(1, min(20, int(RATE / 2 / frequency)) + 1)
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, len(harmonics))
    angles = 2 * np.pi * frequency * harmonics[:, None] * np.arange(WINDOW) / RATE
    amplitudes = np.power(decay, harmonics - 1.0)
    return np.asarray(amplitudes @ np.cos(angles + phases[:, None]), dtype=np.float64)


def _explain(spectrum: Floats) -> Floats:
    """Non-negative note strengths that minimise the divergence to the spectrum, (frames, notes)."""
    scale = max(float(spectrum.max()), 1e-12)
    dictionary = _dictionary().astype(np.float32)
    target = ((spectrum.T / scale) ** COMPRESSION).astype(np.float32)
    strength = np.tile(target.sum(axis=0) / dictionary.shape[1], (dictionary.shape[1], 1))
    for _ in range(ITERATIONS):
        strength *= dictionary.T @ (target / (dictionary @ strength + np.float32(1e-9)))
    notes = strength.reshape(len(DECAYS), -1, target.shape[1]).sum(axis=0).T.astype(np.float64)
    return np.asarray(notes * scale**COMPRESSION)


def _tonal(spectrum: Floats) -> Floats:
    from scipy.ndimage import median_filter

    steady = median_filter(spectrum, (min(9, len(spectrum)), 1))
    prominent = np.maximum(steady - median_filter(steady, (1, 25)), 0)
    energy = (spectrum**2).sum(axis=1)
    tonal: Floats = np.sqrt((prominent**2).sum(axis=1) / np.maximum(energy, 1e-20))
    return tonal
