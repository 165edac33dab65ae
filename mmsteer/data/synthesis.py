"""An additive synthesiser: notes and a timbre become a waveform.

A note is a sum of decaying sinusoids (partials). Partials at or above `BAND_LIMIT` of the sampling rate are
left out, so nothing aliases, and every partial starts at phase zero: the same note sounds the same each time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mmsteer.data.theory import midi_to_hz
from mmsteer.errors import DataError

BAND_LIMIT = 0.47
PEAK = 0.95
# Three notes and a bass at full velocity stay near the peak without being scaled down.
NOTE_GAIN = 0.22
FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class Note:
    """One note.

    Attributes:
        onset_s: When it starts, in seconds.
        duration_s: How long it is held, in seconds; it then takes the timbre's release to fade.
        midi: MIDI note number, 60 for middle C; fractions are allowed.
        velocity: Loudness from 0 (excluded) to 1; softer notes are also darker.
    """

    onset_s: float
    duration_s: float
    midi: float
    velocity: float = 0.8

    def __post_init__(self) -> None:
        if not (self.duration_s > 0 and 0 < self.velocity <= 1):
            raise DataError(f"{self}: the duration must be above 0 and the velocity in (0, 1]")


@dataclass(frozen=True)
class Timbre:
    """How an instrument sounds.

    Attributes:
        ratios: Frequency of each partial over the fundamental.
        amplitudes: Amplitude of each partial, of the same length.
        attack_s: Rise time of a note, in seconds.
        decay_s: Time constant of the fundamental at 440 Hz, in seconds; None for a note that is held.
        damping: How much faster a partial decays for each unit of its ratio above 1.
        release_s: Fade after the note's end, in seconds.
        vibrato_cents: Depth of the vibrato, in cents.
        vibrato_hz: Rate of the vibrato, in Hz.
        noise: Root mean square of the breath noise over that of the partials.
    """

    ratios: tuple[float, ...]
    amplitudes: tuple[float, ...]
    attack_s: float
    decay_s: float | None
    release_s: float
    damping: float = 0.0
    vibrato_cents: float = 0.0
    vibrato_hz: float = 5.0
    noise: float = 0.0


def _harmonics(count: int) -> NDArray[np.float64]:
    return np.arange(1, count + 1, dtype=np.float64)


def _stiff_string(count: int, inharmonicity: float) -> tuple[float, ...]:
    """Ratios of a stiff string's partials, n sqrt(1 + B n²) over the first.

    Source: Fletcher 1964, J. Acoust. Soc. Am. 36(1).
    """
    number = _harmonics(count)
    ratios = number * np.sqrt(1 + inharmonicity * number**2)
    return tuple((ratios / ratios[0]).tolist())


def _plucked(count: int, position: float, slope: float) -> tuple[float, ...]:
    """Amplitudes of a string struck or plucked at a fraction of its length, falling by `slope`."""
    number = _harmonics(count)
    return tuple((np.abs(np.sin(np.pi * number * position)) / number**slope).tolist())


TIMBRES: Mapping[str, Timbre] = MappingProxyType(
    {
        "piano": Timbre(
            ratios=_stiff_string(16, 3e-4),
            amplitudes=_plucked(16, 1 / 8, 1.6),
            attack_s=0.004,
            decay_s=1.0,
            release_s=0.12,
            damping=0.25,
        ),
        "marimba": Timbre(
            ratios=(1.0, 4.0, 9.9),
            amplitudes=(1.0, 0.35, 0.12),
            attack_s=0.002,
            decay_s=0.22,
            release_s=0.1,
            damping=0.5,
        ),
        "organ": Timbre(
            ratios=(1.0, 2.0, 3.0, 4.0, 6.0, 8.0),
            amplitudes=(1.0, 0.8, 0.3, 0.6, 0.1, 0.4),
            attack_s=0.015,
            decay_s=None,
            release_s=0.05,
        ),
        "flute": Timbre(
            ratios=(1.0, 2.0, 3.0, 4.0),
            amplitudes=(1.0, 0.25, 0.08, 0.02),
            attack_s=0.06,
            decay_s=None,
            release_s=0.08,
            vibrato_cents=12.0,
            vibrato_hz=5.0,
            noise=0.02,
        ),
        "strings": Timbre(
            ratios=tuple(_harmonics(20).tolist()),
            amplitudes=tuple((1 / _harmonics(20)).tolist()),
            attack_s=0.1,
            decay_s=None,
            release_s=0.15,
            vibrato_cents=15.0,
            vibrato_hz=5.8,
        ),
        "bell": Timbre(
            ratios=(1.0, 2.0, 3.0, 4.2, 5.4, 6.8),
            amplitudes=(1.0, 0.5, 0.3, 0.4, 0.3, 0.2),
            attack_s=0.002,
            decay_s=1.6,
            release_s=0.5,
            damping=0.2,
        ),
        "guitar": Timbre(
            ratios=tuple(_harmonics(18).tolist()),
            amplitudes=_plucked(18, 1 / 5, 0.9),
            attack_s=0.003,
            decay_s=0.6,
            release_s=0.06,
            damping=0.2,
        ),
        "clarinet": Timbre(
            ratios=(1.0, 2.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0),
            amplitudes=(1.0, 0.03, 0.45, 0.35, 0.25, 0.18, 0.1, 0.06),
            attack_s=0.04,
            decay_s=None,
            release_s=0.06,
        ),
    }
)


def render(
    notes: Sequence[Note],
    timbre: Timbre,
    seconds: float,
    sample_rate: int = 16000,
    rng: np.random.Generator | None = None,
) -> NDArray[np.float32]:
    """The waveform of the notes, (samples,) float32, with its peak below 1.

    Args:
        notes: Any number of notes; what lies outside the window is cut.
        timbre: How they sound, such as `TIMBRES["piano"]`.
        seconds: Length of the result.
        sample_rate: Samples per second.
        rng: Source of the breath noise; without one, a fixed seed.

    Raises:
        DataError: The length or the sampling rate is not positive.
    """
    if not (seconds > 0 and sample_rate > 0):
        raise DataError(f"cannot render {seconds} s at {sample_rate} Hz; both must be above 0")
    rng = np.random.default_rng(0) if rng is None else rng
    mix = np.zeros(round(seconds * sample_rate), dtype=np.float32)
    for note in notes:
        start = round(note.onset_s * sample_rate)
        tone = _tone(note, timbre, sample_rate, rng)
        first, last = max(start, 0), min(start + len(tone), len(mix))
        if first < last:
            mix[first:last] += tone[first - start : last - start]
    peak = float(np.abs(mix).max(initial=0.0))
    return mix if peak <= PEAK else mix * np.float32(PEAK / peak)


def _tone(note: Note, timbre: Timbre, sample_rate: int, rng: np.random.Generator) -> NDArray[np.float32]:
    fundamental = midi_to_hz(note.midi)
    ratios = np.asarray(timbre.ratios)
    # The vibrato must not lift a partial over the limit either.
    audible = ratios * fundamental * 2 ** (timbre.vibrato_cents / 1200) < BAND_LIMIT * sample_rate
    if not audible.any():
        return np.zeros(0, dtype=np.float32)
    time_s = np.arange(round((note.duration_s + timbre.release_s) * sample_rate)) / sample_rate
    amplitudes = _amplitudes(timbre, note.velocity)[audible]
    partials = _partials(timbre, ratios[audible], amplitudes, fundamental, time_s)
    if timbre.noise:
        partials += _breath(timbre.noise * float(np.linalg.norm(amplitudes)), len(time_s), rng)
    return partials * _envelope(timbre, note.duration_s, time_s)


def _amplitudes(timbre: Timbre, velocity: float) -> NDArray[np.float64]:
    """Amplitudes at a velocity: of equal power in every timbre, and darker when soft."""
    full = np.asarray(timbre.amplitudes)
    tilt = np.asarray(timbre.ratios) ** (0.5 * np.log2(velocity))
    return np.asarray(NOTE_GAIN * velocity * full * tilt / np.linalg.norm(full))


def _partials(
    timbre: Timbre, ratios: FloatArray, amplitudes: FloatArray, fundamental: float, time_s: FloatArray
) -> NDArray[np.float32]:
    cycles = np.outer(ratios, _cycles(timbre, fundamental, time_s))
    # Whole cycles are dropped in float64; what is left is exact enough for the faster float32 sine.
    cycles -= np.floor(cycles)
    waves = np.sin((2 * np.pi * cycles).astype(np.float32))
    if timbre.decay_s is None:
        return np.asarray(amplitudes.astype(np.float32) @ waves)
    rates = (1 + timbre.damping * (ratios - 1)) / (timbre.decay_s * (440.0 / fundamental) ** 0.5)
    waves *= np.exp(-np.outer(rates, time_s).astype(np.float32))
    return np.asarray(amplitudes.astype(np.float32) @ waves)


def _cycles(timbre: Timbre, fundamental: float, time_s: FloatArray) -> FloatArray:
    """Phase of the fundamental in cycles: the integral of its frequency."""
    if not timbre.vibrato_cents:
        return fundamental * time_s
    swing = np.log(2) * timbre.vibrato_cents / 1200
    omega = 2 * np.pi * timbre.vibrato_hz
    return np.asarray(fundamental * (time_s + swing * (1 - np.cos(omega * time_s)) / omega))


def _breath(rms: float, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise with a soft top, of a given root mean square."""
    white = rng.standard_normal(samples + 1).astype(np.float32)
    return np.asarray((white[1:] + white[:-1]) * np.float32(rms / np.sqrt(2)))


def _envelope(timbre: Timbre, held_s: float, time_s: FloatArray) -> NDArray[np.float32]:
    """Raised-cosine attack and release: no clicks, which would alias."""
    rise = np.clip(time_s / timbre.attack_s, 0, 1)
    fall = np.clip((held_s + timbre.release_s - time_s) / timbre.release_s, 0, 1)
    shape = np.sin(np.pi / 2 * rise) ** 2 * np.sin(np.pi / 2 * fall) ** 2
    return np.asarray(shape, dtype=np.float32)
