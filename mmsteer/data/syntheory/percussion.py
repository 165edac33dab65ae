"""Short percussive clicks: a falling sinusoid and a burst of noise, with an optional room."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mmsteer.data.midi import DRUM_CHANNEL, MAX_VALUE, MidiTrack
from mmsteer.data.theory import SEMITONES

# The pitch at which a hit has its stated frequency.
REFERENCE_PITCH = 52
# A ring is cut after this many time constants, at -61 dB.
AUDIBLE_DECAYS = 7.0
ATTACK_S = 0.001
LEVEL = 0.6
ROOM_DECAY_S = 0.25
ROOM_S = 1.2
ROOM_LEVEL = 0.5
NOISE_SEED = 0


@dataclass(frozen=True)
class Hit:
    """How a percussion instrument sounds.

    Attributes:
        frequency_hz: Frequency it settles at when struck at MIDI note 52; other notes follow equal temperament.
        decay_s: Time constant of its ring, in seconds.
        noise: Amplitude of the noise over that of the ring.
        sweep: How far it starts above its frequency, over that frequency.
    """

    frequency_hz: float
    decay_s: float
    noise: float
    sweep: float = 0.0


DRUM_KIT = Hit(2400.0, 0.015, noise=1.0)
# By General MIDI program.
HITS: Mapping[int, Hit] = MappingProxyType(
    {
        115: Hit(1100.0, 0.03, noise=0.15),
        116: Hit(110.0, 0.18, noise=0.25, sweep=0.5),
        118: Hit(180.0, 0.08, noise=0.1, sweep=2.0),
    }
)


def is_percussion(track: MidiTrack) -> bool:
    """Whether a track is played by one of these hits."""
    return track.channel == DRUM_CHANNEL or track.program in HITS


def render_clicks(track: MidiTrack, seconds: float, sample_rate: int) -> NDArray[np.float32]:
    """The waveform of a metronome, (samples,) float32.

    Args:
        track: A track for which `is_percussion` holds; the lengths of its notes do not matter.
        seconds: Length of the result.
        sample_rate: Samples per second.
    """
    hit = DRUM_KIT if track.channel == DRUM_CHANNEL else HITS[track.program]
    mix = np.zeros(round(seconds * sample_rate))
    sounds = {pitch: _strike(hit, pitch, sample_rate) for pitch in {note.pitch for note in track.notes}}
    for note in track.notes:
        start = round(track.seconds(note.start) * sample_rate)
        room = mix[start : start + len(sounds[note.pitch])]
        room += note.velocity / MAX_VALUE * sounds[note.pitch][: len(room)]
    wet = ROOM_LEVEL * (track.reverb or 0) / MAX_VALUE
    if wet:
        from scipy.signal import fftconvolve  # slow to import

        mix += wet * fftconvolve(mix, _room(sample_rate))[: len(mix)]
    return mix.astype(np.float32)


def _strike(hit: Hit, pitch: int, sample_rate: int) -> NDArray[np.float64]:
    time_s = np.arange(round(AUDIBLE_DECAYS * hit.decay_s * sample_rate)) / sample_rate
    fall = np.exp(-time_s / hit.decay_s)
    frequency = hit.frequency_hz * 2 ** ((pitch - REFERENCE_PITCH) / SEMITONES)
    # The integral of f (1 + sweep e^(-t / decay)).
    cycles = frequency * (time_s + hit.sweep * hit.decay_s * (1 - fall))
    noise = np.random.default_rng(NOISE_SEED).standard_normal(len(time_s)) * fall**4
    rise = np.minimum(time_s / ATTACK_S, 1)
    return LEVEL * rise * (fall * np.sin(2 * np.pi * cycles) + hit.noise * noise / 3)


def _room(sample_rate: int) -> NDArray[np.float64]:
    """Impulse response of a room without the direct sound: decaying noise of unit energy."""
    time_s = np.arange(round(ROOM_S * sample_rate)) / sample_rate
    response = np.random.default_rng(NOISE_SEED).standard_normal(len(time_s)) * np.exp(-time_s / ROOM_DECAY_S)
    return np.asarray(response / np.linalg.norm(response))
