"""The world of the second bundled music model: eight-second clips of a band whose every note is known.

An instrument plays chords or a line, one onset a beat; a bass enters with each bar or chord; a kick marks the bars and
a snap the beats between. Onsets lie on a grid of 100 ms, the frame of the model's codec, and every sound starts at
phase zero: the same chord on the same instrument is the same samples, which lets a small model learn it in hours.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mmsteer.data.synthesis import TIMBRES, Note, Timbre, render
from mmsteer.data.theory import MODES, SEMITONES, TRIADS, triad
from mmsteer.errors import DataError
from mmsteer.types.pitch import PITCH_CLASSES
from mmsteer.worlds.band.drums import kick, snap
from mmsteer.worlds.band.prompts import STATABLE, STATED_SHARE, write_prompt

SAMPLE_RATE = 16000
FRAMES_PER_SECOND = 10
CLIP_SECONDS = 8.0
CLIP_FRAMES = round(CLIP_SECONDS * FRAMES_PER_SECOND)

RELEASE_S = 0.05
# A short release, so that a note is over before the next one and chords do not mix; every note decays, so that what
# the codec's quantisation leaves of it does not rise where nothing is struck.
INSTRUMENTS: Mapping[str, Timbre] = {
    name: replace(
        timbre,
        release_s=RELEASE_S,
        noise=0.0,
        attack_s=min(timbre.attack_s, 0.03),
        decay_s=min(timbre.decay_s or 0.4, 0.4),
    )
    for name, timbre in TIMBRES.items()
}
BASS = Timbre(ratios=(1.0, 2.0), amplitudes=(1.0, 0.15), attack_s=0.01, decay_s=0.6, release_s=RELEASE_S)
# Frames a beat: 75, 120 and 200 beats per minute.
BEAT_FRAMES: Mapping[str, int] = {"slow": 8, "medium": 5, "fast": 3}
TEMPOS_BPM = tuple(60 * FRAMES_PER_SECOND / frames for frames in BEAT_FRAMES.values())
METRES: Mapping[str, int] = {"three": 3, "four": 4}
TEXTURES = ("chord", "progression", "scale")
# Degrees of the chords that follow one another.
PROGRESSIONS: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "major": ((1, 5, 6, 4), (1, 4, 5, 1)),
    "minor": ((1, 4, 5, 1), (1, 4, 7, 1)),
}
SCALE_MODES = ("major", "minor", "dorian", "mixolydian")
STEPS = {**MODES, "major": MODES["ionian"], "minor": MODES["aeolian"]}
CHORD_LOW, BASS_LOW, LINE_LOW = 48, 36, 65
FIRST_ONSET = 1
# A chord or a bass note lasts as many beats of a bar, which at slow beats is as long as two.
LONG_BEAT = 8
GAP_S = 0.08
GAIN = 0.7


@dataclass(frozen=True)
class Song:
    """One clip of the world: what the prompt says, what is played, and the truth about it.

    Attributes:
        prompt: English; may leave any attribute open, and never names a pitch.
        stated: The attributes that the prompt names, of `STATABLE`.
        beats: The notes that the instrument strikes at each beat, as MIDI numbers.
        basses: The bass note that enters at a beat, None where none does.
        instrument: One of `INSTRUMENTS`.
        beat_frames: Frames from one beat to the next.
        tempo: `slow`, `medium` or `fast`.
        metre: `three` or `four`.
        texture: One of `TEXTURES`.
        tonic: Pitch class of the tonic, or of the chord's root.
        mode: One of `SCALE_MODES`; `major` or `minor` but for scales; None for an augmented or diminished chord.
        chord: Triad quality, one of `TRIADS`, of a clip on one chord; else None.
        degrees: Degrees of the chords of a progression; else empty.
    """

    prompt: str
    stated: frozenset[str]
    beats: tuple[tuple[int, ...], ...]
    basses: tuple[int | None, ...]
    instrument: str
    beat_frames: int
    tempo: str
    metre: str
    texture: str
    tonic: int
    mode: str | None
    chord: str | None
    degrees: tuple[int, ...]

    @property
    def tempo_bpm(self) -> float:
        """Beats per minute."""
        return 60 * FRAMES_PER_SECOND / self.beat_frames

    @property
    def changes(self) -> tuple[str, ...]:
        """The triad at each beat in the syntax of mir_eval, such as `C#:min`; empty for a scale."""
        return tuple(_label(notes) for notes in self.beats) if self.texture != "scale" else ()


def sample_song(
    rng: np.random.Generator,
    *,
    instrument: str | None = None,
    tempo: str | None = None,
    metre: str | None = None,
    texture: str | None = None,
    tonic: int | None = None,
    mode: str | None = None,
    chord: str | None = None,
    degrees: tuple[int, ...] | None = None,
    stated: Collection[str] | None = None,
) -> Song:
    """Draw a clip; what is not given is drawn.

    Args:
        rng: Source of all draws.
        instrument: One of `INSTRUMENTS`.
        tempo: One of `BEAT_FRAMES`.
        metre: One of `METRES`.
        texture: One of `TEXTURES`.
        tonic: Pitch class, 0 to 11.
        mode: One of `SCALE_MODES`; without a texture, major and minor are of a progression and the others of a scale.
        chord: Triad quality, one of `TRIADS`; only for a clip on one chord.
        degrees: Four degrees of a progression.
        stated: What the prompt names, of `STATABLE`.

    Raises:
        DataError: A value is unknown, or does not belong to the texture.
    """
    instrument = _pick(rng, "instrument", instrument, tuple(INSTRUMENTS))
    tempo = _pick(rng, "tempo", tempo, tuple(BEAT_FRAMES))
    metre = _pick(rng, "metre", metre, tuple(METRES))
    texture = _pick(rng, "texture", _belonging(texture, mode, chord, degrees), TEXTURES)
    tonic = int(rng.integers(SEMITONES)) if tonic is None else tonic
    if tonic not in range(SEMITONES):
        raise DataError(f"no pitch class {tonic}; 0 is {PITCH_CLASSES[0]}, 11 is {PITCH_CLASSES[-1]}")
    frames = BEAT_FRAMES[tempo]
    count = -((FIRST_ONSET - CLIP_FRAMES) // frames)
    changing = METRES[metre] // 2 if frames >= LONG_BEAT and metre == "four" else METRES[metre]
    if texture == "chord":
        chord = _pick(rng, "chord", chord, tuple(TRIADS))
        mode = chord if chord in PROGRESSIONS else None
    else:
        mode = _pick(rng, "mode", mode, tuple(PROGRESSIONS) if texture == "progression" else SCALE_MODES)
    if texture == "progression" and degrees is None:
        degrees = PROGRESSIONS[str(mode)][rng.integers(len(PROGRESSIONS[str(mode)]))]
    beats = _beats(tonic, mode, chord, degrees, count, changing)
    basses = [_bass(texture, tonic, notes, at, METRES[metre], changing) for at, notes in enumerate(beats)]
    truth = {"instrument": instrument, "tempo": tempo, "metre": metre, "texture": texture}
    truth |= {"chord": chord} if chord else {"mode": str(mode)}
    names = _stated(rng, stated, truth)
    bpm = 60 * FRAMES_PER_SECOND / frames
    return Song(
        prompt=write_prompt(rng, {name: truth[name] for name in truth if name in names}, bpm),
        stated=names,
        beats=tuple(beats),
        basses=tuple(basses),
        instrument=instrument,
        beat_frames=frames,
        tempo=tempo,
        metre=metre,
        texture=texture,
        tonic=tonic,
        mode=mode,
        chord=chord,
        degrees=tuple(degrees or ()),
    )


def render_song(song: Song) -> NDArray[np.float32]:
    """The clip's waveform at `SAMPLE_RATE`, (128000,) float32.

    Args:
        song: What to render.
    """
    mix = np.zeros(round(CLIP_SECONDS * SAMPLE_RATE), dtype=np.float32)
    held_s = song.beat_frames / FRAMES_PER_SECOND - GAP_S
    for index, (notes, bass) in enumerate(zip(song.beats, song.basses, strict=True)):
        start = (FIRST_ONSET + index * song.beat_frames) * SAMPLE_RATE // FRAMES_PER_SECOND
        sounds = [_tone(song.instrument, midi, held_s) for midi in notes]
        sounds += [] if bass is None else [_tone("bass", bass, held_s)]
        sounds.append(snap(SAMPLE_RATE) if index % METRES[song.metre] else kick(SAMPLE_RATE))
        for sound in sounds:
            mix[start : start + len(sound)] += sound[: len(mix) - start]
    return mix


@lru_cache(maxsize=4096)
def _tone(name: str, midi: int, held_s: float) -> NDArray[np.float32]:
    """One note, the same whenever it is struck."""
    timbre = BASS if name == "bass" else INSTRUMENTS[name]
    return render([Note(0.0, held_s, midi, GAIN)], timbre, held_s + RELEASE_S, SAMPLE_RATE)


def _pick(rng: np.random.Generator, name: str, value: str | None, choices: tuple[str, ...]) -> str:
    if value is None:
        return choices[rng.integers(len(choices))]
    if value not in choices:
        raise DataError(f"no {name} {value!r}; choose from {', '.join(choices)}")
    return value


def _belonging(texture: str | None, mode: str | None, chord: str | None, degrees: tuple[int, ...] | None) -> str | None:
    """The texture as given, or that which a given attribute belongs to.

    Raises:
        DataError: They belong to different ones.
    """
    given = {"chord": chord, "progression": degrees, "scale": mode if mode not in PROGRESSIONS else None}
    found = {name for name, value in given.items() if value is not None} | ({texture} if texture else set())
    if len(found) > 1 or (mode is not None and "chord" in found):
        raise DataError(
            "a clip on one chord has a chord, a progression has degrees and the mode major or minor, and a scale has a "
            f"mode; these do not go together: {texture=}, {mode=}, {chord=}, {degrees=}"
        )
    # A mode that progressions and scales have leaves the two.
    return next(iter(found), "progression" if mode is not None else None)


def _beats(
    tonic: int, mode: str | None, chord: str | None, degrees: tuple[int, ...] | None, count: int, changing: int
) -> list[tuple[int, ...]]:
    """The notes of every beat."""
    if chord is not None:
        return [triad(_above(tonic, CHORD_LOW), chord)] * count
    if degrees is not None:
        return [_degree(tonic, str(mode), degrees[at // changing % len(degrees)]) for at in range(count)]
    return _run(tonic, str(mode), count)


def _above(pitch: int, low: int) -> int:
    """The lowest MIDI number of a pitch class that is not below another."""
    return low + (pitch - low) % SEMITONES


def _degree(tonic: int, mode: str, degree: int) -> tuple[int, ...]:
    """The triad on a degree of a key, in root position."""
    steps = [STEPS[mode][(degree - 1 + up) % 7] for up in (0, 2, 4)]
    root = _above(tonic + steps[0], CHORD_LOW)
    return tuple(root + (step - steps[0]) % SEMITONES for step in steps)


def _run(tonic: int, mode: str, count: int) -> list[tuple[int, ...]]:
    """Up the scale for an octave and down again, from the tonic."""
    rising = [_above(tonic, LINE_LOW) + step for step in (*STEPS[mode], SEMITONES)]
    turn = rising + rising[-2:0:-1]
    return [(turn[at % len(turn)],) for at in range(count)]


def _bass(texture: str, tonic: int, notes: tuple[int, ...], at: int, metre: int, changing: int) -> int | None:
    if texture == "progression":
        return _above(notes[0], BASS_LOW) if at % changing == 0 else None
    return _above(tonic, BASS_LOW) if at % metre == 0 else None


def _label(notes: tuple[int, ...]) -> str:
    quality = {(4, 7): "maj", (3, 7): "min", (4, 8): "aug", (3, 6): "dim"}
    return f"{PITCH_CLASSES[notes[0] % SEMITONES]}:{quality[notes[1] - notes[0], notes[2] - notes[0]]}"


def _stated(rng: np.random.Generator, stated: Collection[str] | None, truth: Mapping[str, str]) -> frozenset[str]:
    if stated is None:
        return frozenset(name for name in truth if rng.random() < STATED_SHARE)
    unknown = set(stated) - set(STATABLE)
    if unknown:
        raise DataError(f"a prompt cannot state {sorted(unknown)}; choose from {', '.join(STATABLE)}")
    return frozenset(stated) & truth.keys()
