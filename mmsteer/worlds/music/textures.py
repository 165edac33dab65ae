"""How the rendered music world moves from note to note: each texture turns a score's frame into pitches.

Every texture has one onset a beat, so that the onset rate is the tempo whatever is played.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmsteer.data.theory import SCALES, SEMITONES, TRIADS, scale_notes, triad

LEAP_CLIPS = 0.2
LEAP_SHARE = 0.3
REST_CLIPS = 0.35
REST_SHARE = 0.15
MOVING_CHORDS = 0.3
_STEPS = np.array([-2, -1, 0, 1, 2])
_STEP_SHARES = np.array([0.1, 0.3, 0.2, 0.3, 0.1])

Beats = list[tuple[int, ...]]


@dataclass(frozen=True)
class Ground:
    """What a texture is built on.

    Attributes:
        tonic: Pitch class of the tonic, or of the first chord's root.
        mode: `major` or `minor`.
        chord: One of `TRIADS`.
        low: Lowest MIDI number allowed.
        high: Highest MIDI number allowed, at least 15 above the lowest.
        beats: How many onsets fit into the clip.
    """

    tonic: int
    mode: str
    chord: str
    low: int
    high: int
    beats: int


def repeated(rng: np.random.Generator, ground: Ground) -> Beats:
    """One pitch class all along; in some clips with octave leaps where the register allows them."""
    octaves = scale_notes(ground.tonic, (0,), ground.low, ground.high)
    home = rng.choice(octaves)
    leaps = rng.random() < LEAP_CLIPS
    jump = rng.random(ground.beats) < (LEAP_SHARE if leaps else 0)
    return [(int(rng.choice(octaves) if jumps else home),) for jumps in jump]


def melody(rng: np.random.Generator, ground: Ground) -> Beats:
    """A walk on the scale that starts on the tonic, returns to it, and in some clips rests."""
    ladder = scale_notes(ground.tonic, SCALES[ground.mode], ground.low, ground.high)
    home = _home(rng, ladder, ground.tonic)
    rests = rng.random(ground.beats) < (REST_SHARE if rng.random() < REST_CLIPS else 0)
    at = home
    line: Beats = []
    for rest in rests:
        line.append(() if rest and line else (ladder[at],))
        pull = int(np.sign(home - at)) if rng.random() < 0.35 else 0
        at = int(np.clip(at + pull + rng.choice(_STEPS, p=_STEP_SHARES), 0, len(ladder) - 1))
    return line


def scale(rng: np.random.Generator, ground: Ground) -> Beats:
    """A run up or down the scale from the tonic, turning at the ends of the register."""
    ladder = scale_notes(ground.tonic, SCALES[ground.mode], ground.low, ground.high)
    return _zigzag(rng, ladder, _home(rng, ladder, ground.tonic), ground.beats)


def arpeggio(rng: np.random.Generator, ground: Ground) -> Beats:
    """The notes of one chord, one after another, up and down."""
    ladder = scale_notes(ground.tonic, TRIADS[ground.chord], ground.low, ground.high)
    return _zigzag(rng, ladder, _home(rng, ladder, ground.tonic), ground.beats)


def chords(rng: np.random.Generator, ground: Ground) -> Beats:
    """Close triads of one quality; on one root, or moving along the scale every fourth beat."""
    moving = rng.random() < MOVING_CHORDS
    roots = [ground.tonic]
    while len(roots) * 4 < ground.beats:
        step = int(rng.choice(SCALES[ground.mode])) if moving else 0
        roots.append((ground.tonic + step) % SEMITONES)
    voiced = [_voicing(rng, root, ground) for root in roots]
    if not moving:
        voiced = voiced[:1] * len(roots)
    return [voiced[beat // 4] for beat in range(ground.beats)]


TEXTURES = {
    "melody": melody,
    "repeated": repeated,
    "arpeggio": arpeggio,
    "chords": chords,
    "scale": scale,
}
# What a prompt calls each texture: a repeated note and a run are melodies too.
TEXTURE_WORDS: Mapping[str, str] = {
    "melody": "melody",
    "repeated": "melody",
    "scale": "melody",
    "arpeggio": "arpeggio",
    "chords": "chords",
}


def _home(rng: np.random.Generator, ladder: tuple[int, ...], tonic: int) -> int:
    return int(rng.choice([i for i, midi in enumerate(ladder) if midi % SEMITONES == tonic]))


def _zigzag(rng: np.random.Generator, ladder: tuple[int, ...], at: int, beats: int) -> Beats:
    step = int(rng.choice([-1, 1]))
    line: Beats = []
    for _ in range(beats):
        line.append((ladder[at],))
        step = -step if not 0 <= at + step < len(ladder) else step
        at += step
    return line


def _voicing(rng: np.random.Generator, root: int, ground: Ground) -> tuple[int, ...]:
    candidates = [
        triad(midi, ground.chord, inversion)
        for midi in range(ground.low - SEMITONES, ground.high)
        for inversion in range(3)
        if midi % SEMITONES == root
    ]
    fitting = [chord for chord in candidates if chord[0] >= ground.low and chord[-1] <= ground.high]
    return fitting[rng.integers(len(fitting))]
