"""The world of the bundled music model: four-second clips whose every note is known.

Notes start on a grid of 20 ms, the frame of the model's codec: it changes no heard tempo, and lets a small
model spend its capacity on music. Every texture has one onset a beat: onsets per second are bpm / 60.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsteer.data.synthesis import TIMBRES, Note, render
from mmsteer.data.theory import SEMITONES, TRIADS
from mmsteer.errors import DataError
from mmsteer.types.pitch import PITCH_CLASSES
from mmsteer.worlds.music.prompts import STATABLE, STATED_SHARE, write_prompt
from mmsteer.worlds.music.textures import TEXTURE_WORDS, TEXTURES, Beats, Ground

SAMPLE_RATE = 16000
FRAMES_PER_SECOND = 50
CLIP_SECONDS = 4.0
CLIP_FRAMES = round(CLIP_SECONDS * FRAMES_PER_SECOND)

INSTRUMENTS = tuple(TIMBRES)
# Frames from one onset to the next, both ends included: 60-75, 100-125 and 167-200 beats per minute.
BEAT_FRAMES: Mapping[str, tuple[int, int]] = {"slow": (40, 50), "medium": (24, 30), "fast": (15, 18)}
# MIDI numbers of the melody, both ends included; every pitch class occurs in each.
REGISTERS: Mapping[str, tuple[int, int]] = {"low": (43, 58), "middle": (60, 75), "high": (77, 92)}
CHORD_MODES = {"major": "major", "minor": "minor", "aug": "major", "dim": "minor"}
CHORD_WORDS = {"major": "major", "minor": "minor", "aug": "augmented", "dim": "diminished"}
TEXTURE_SHARES = {"melody": 0.25, "repeated": 0.35, "arpeggio": 0.12, "chords": 0.18, "scale": 0.1}
ALTERED_CHORDS = 0.3
DRONE_SHARE = 0.15
DRONE_LOW = 36
# Frames of silence before the first onset: the edge of the codec's transform falls into it.
FIRST_ONSET = (1, 5)
ARTICULATIONS = (0.5, 0.65, 0.8)
LOUDNESS = (0.55, 0.7, 0.85)
ACCENT = 0.1
SWELL = (-0.15, 0.0, 0.0, 0.15)


@dataclass(frozen=True)
class Clip:
    """One clip of the world: what the prompt says, what is played, and the truth about it.

    Attributes:
        prompt: English; may leave any attribute open, and never names a pitch.
        stated: The attributes that the prompt names, of `STATABLE` and `drone`.
        notes: What is played, in the order of onsets.
        instrument: One of `INSTRUMENTS`.
        tempo_bpm: Beats per minute; one onset a beat.
        tempo: `slow`, `medium` or `fast`.
        register: `low`, `middle` or `high`: where the melody lies; a drone lies below.
        mode: `major` or `minor`.
        texture: One of `TEXTURES`.
        tonic: Pitch class of the tonic; the only one of a repeated note, the first root of chords.
        chord: Triad quality, one of `TRIADS`; None where no chord is played or broken.
        drone: Whether a soft bass on the tonic sounds below.
    """

    prompt: str
    stated: frozenset[str]
    notes: tuple[Note, ...]
    instrument: str
    tempo_bpm: float
    tempo: str
    register: str
    mode: str
    texture: str
    tonic: int
    chord: str | None
    drone: bool


def sample_clip(
    rng: np.random.Generator,
    *,
    instrument: str | None = None,
    tempo: str | None = None,
    register: str | None = None,
    mode: str | None = None,
    texture: str | None = None,
    tonic: int | None = None,
    chord: str | None = None,
    drone: bool | None = None,
    stated: Collection[str] | None = None,
) -> Clip:
    """Draw a clip; what is not given is drawn.

    Args:
        rng: Source of all draws.
        instrument: One of `INSTRUMENTS`.
        tempo: One of `BEAT_FRAMES`.
        register: One of `REGISTERS`.
        mode: `major` or `minor`; follows from the chord where that is given.
        texture: One of `TEXTURES`; `chords` where a chord is given.
        tonic: Pitch class, 0 to 11.
        chord: Triad quality, one of `TRIADS`; only for chords and arpeggios.
        drone: Whether a bass on the tonic is added.
        stated: What the prompt names, of `STATABLE` and `drone`; `mode` also stands for the chord quality.

    Raises:
        DataError: A value is unknown, or two of them contradict one another.
    """
    instrument = _pick(rng, "instrument", instrument, INSTRUMENTS)
    tempo = _pick(rng, "tempo", tempo, tuple(BEAT_FRAMES))
    register = _pick(rng, "register", register, tuple(REGISTERS))
    texture = _pick_texture(rng, texture, chord)
    mode, chord = _pick_harmony(rng, mode, chord, texture)
    tonic = int(rng.integers(SEMITONES)) if tonic is None else tonic
    if tonic not in range(SEMITONES):
        raise DataError(f"no pitch class {tonic}; 0 is {PITCH_CLASSES[0]}, 11 is {PITCH_CLASSES[-1]}")
    drone = bool(rng.random() < DRONE_SHARE) and texture == "melody" if drone is None else drone
    beat = int(rng.integers(BEAT_FRAMES[tempo][0], BEAT_FRAMES[tempo][1] + 1))
    first = int(rng.integers(FIRST_ONSET[0], FIRST_ONSET[1] + 1))
    ground = Ground(tonic, mode, chord or mode, *REGISTERS[register], beats=-((first - CLIP_FRAMES) // beat))
    notes = _perform(rng, TEXTURES[texture](rng, ground), beat, first)
    if drone:
        notes = tuple(sorted(notes + _drone(ground, beat, first), key=lambda note: note.onset_s))
    truth = {"instrument": instrument, "tempo": tempo, "register": register}
    truth |= {"mode": CHORD_WORDS[chord or mode], "texture": TEXTURE_WORDS[texture]}
    truth |= {"drone": "drone"} if drone else {}
    names = _pick_stated(rng, stated, truth)
    return Clip(
        prompt=write_prompt(rng, {name: truth[name] for name in truth if name in names}),
        stated=names,
        notes=notes,
        instrument=instrument,
        tempo_bpm=60 * FRAMES_PER_SECOND / beat,
        tempo=tempo,
        register=register,
        mode=mode,
        texture=texture,
        tonic=tonic,
        chord=chord,
        drone=drone,
    )


def render_clip(clip: Clip, rng: np.random.Generator | None = None) -> NDArray[np.float32]:
    """The clip's waveform at `SAMPLE_RATE`, (64000,) float32.

    Args:
        clip: What to render.
        rng: Source of breath noise; without one, a fixed seed.
    """
    return render(clip.notes, TIMBRES[clip.instrument], CLIP_SECONDS, SAMPLE_RATE, rng)


def _pick(rng: np.random.Generator, name: str, value: str | None, choices: tuple[str, ...]) -> str:
    if value is None:
        return choices[rng.integers(len(choices))]
    if value not in choices:
        raise DataError(f"no {name} {value!r}; choose from {', '.join(choices)}")
    return value


def _pick_texture(rng: np.random.Generator, texture: str | None, chord: str | None) -> str:
    if texture is None and chord is not None:
        return "chords"
    if texture is None:
        return str(rng.choice(list(TEXTURE_SHARES), p=list(TEXTURE_SHARES.values())))
    if chord is not None and texture not in ("chords", "arpeggio"):
        raise DataError(f"a {texture!r} has no chord; fix the chord only for chords or arpeggio")
    return _pick(rng, "texture", texture, tuple(TEXTURES))


def _pick_harmony(
    rng: np.random.Generator, mode: str | None, chord: str | None, texture: str
) -> tuple[str, str | None]:
    if chord is not None:
        _pick(rng, "chord", chord, tuple(TRIADS))
        if mode not in (None, CHORD_MODES[chord]):
            raise DataError(f"the chord {chord!r} is not of the {mode!r} mode; leave one of them open")
        return CHORD_MODES[chord], chord
    mode = _pick(rng, "mode", mode, ("major", "minor"))
    if texture not in ("chords", "arpeggio"):
        return mode, None
    altered = {"major": "aug", "minor": "dim"}[mode]
    return mode, altered if rng.random() < ALTERED_CHORDS else mode


def _pick_stated(rng: np.random.Generator, stated: Collection[str] | None, truth: Mapping[str, str]) -> frozenset[str]:
    if stated is None:
        return frozenset(name for name in truth if rng.random() < STATED_SHARE)
    unknown = set(stated) - {*STATABLE, "drone"}
    if unknown:
        raise DataError(f"a prompt cannot state {sorted(unknown)}; choose from {', '.join(STATABLE)}, drone")
    return frozenset(stated) & truth.keys()


def _perform(rng: np.random.Generator, beats: Beats, beat: int, first: int) -> tuple[Note, ...]:
    """Give the pitches onsets on the grid, lengths, and dynamics: a level, accents, and a swell."""
    held_s = round(beat * rng.choice(ARTICULATIONS)) / FRAMES_PER_SECOND
    level, swell = rng.choice(LOUDNESS), rng.choice(SWELL)
    meter, accent = rng.choice([3, 4]), rng.choice([0.0, ACCENT])
    notes = []
    for index, pitches in enumerate(beats):
        loudness = level + swell * (index / len(beats) - 0.5) + accent * (index % meter == 0)
        # Steps of 0.05: finer dynamics are not heard, and would only cost the codec entries.
        velocity = round(20 * float(loudness)) / 20
        onset_s = (first + index * beat) / FRAMES_PER_SECOND
        notes += [Note(onset_s, held_s, midi, velocity) for midi in pitches]
    return tuple(notes)


def _drone(ground: Ground, beat: int, first: int) -> tuple[Note, ...]:
    """A soft bass on the tonic, struck with every fourth onset so that it adds none."""
    midi = DRONE_LOW + ground.tonic
    spacing_s = 4 * beat / FRAMES_PER_SECOND
    return tuple(
        Note(first / FRAMES_PER_SECOND + bar * spacing_s, spacing_s, midi, 0.35) for bar in range(-(-ground.beats // 4))
    )
