"""Which pitch class is played, and for how much of the time.

Accuracy of the main note on 4 s clips: FluidR3 played by FluidSynth, 99.3 % of 300 single notes from MIDI 24 to 107,
and 98.8 % of 80 in white noise of 5 dB; the project's synthesiser, 87.5 % of 120 dense mixes (a line, three quarters on
one note, over chords, bass and drums, in part 30 cents out of tune; those that are wrong name the chord's root).
`python benchmarks/evaluators.py --soundfont` measures it again on its own draw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsteer.errors import EvalError, clip
from mmsteer.eval.activity import Activity, read_activity
from mmsteer.eval.audio import Floats, read_audio
from mmsteer.types import mean_score
from mmsteer.types.pitch import PITCH_CLASSES, pitch_class

MIN_VOICED = 0.05  # of the frames: a door's squeak is no music
MIN_LEAD = 0.01  # of the voiced frames: two notes that share the clip evenly have no main one


@dataclass(frozen=True, eq=False)
class NoteReading:
    """The pitch classes of a clip.

    Attributes:
        share: For each pitch class C..B the share of voiced frames in which it is the strongest; they sum
            to 1. None when the clip is unvoiced.
        main_note: The pitch class with the largest share; None when unvoiced or when two are even.
        voiced: The fraction of frames, from the first sound on, in which a pitch is heard.
        trace: 1 where a pitch class is the strongest of a voiced frame, else 0, (frames, 12).
        salience: The strength of every pitch class, each voiced frame summing to 1, (frames, 12).
        times_s: The middle of each frame, (frames,).
    """

    share: Mapping[str, float] | None
    main_note: str | None
    voiced: float
    trace: Floats
    salience: Floats
    times_s: Floats


def read_notes(samples: NDArray[np.floating], sample_rate: int) -> NoteReading:
    """Judge the pitch class of a clip: a single line or a dense mix, in any tuning.

    `samples`: mono audio, (samples,).
    `sample_rate`: samples per second.

    Raises:
        EvalError: The audio is not mono, is empty, or is not finite.
    """
    return notes_from_activity(read_activity(samples, sample_rate))


def notes_from_activity(activity: Activity) -> NoteReading:
    """The pitch classes of a clip whose notes are known."""
    chroma, voiced = activity.chroma, activity.voiced
    trace = np.eye(12)[chroma.argmax(axis=1)] * voiced[:, None]
    salience = chroma / np.maximum(chroma.sum(axis=1, keepdims=True), 1e-12) * voiced[:, None]
    fraction = activity.voiced_share
    if fraction < MIN_VOICED:
        nothing = np.zeros_like(trace)
        return NoteReading(None, None, 0.0, nothing, nothing, activity.times_s)
    shares = trace.sum(axis=0) / trace.sum()
    share = dict(zip(PITCH_CLASSES, shares.tolist(), strict=True))
    return NoteReading(share, _main(shares), fraction, trace, salience, activity.times_s)


def parse_pitch_class(text: str) -> str:
    """The name of a pitch class as this project writes it, with sharps.

    `text`: such as `C`, `c#` or `Db`.

    Raises:
        EvalError: There is no such pitch class.

    >>> parse_pitch_class("Bb")
    'A#'
    """
    name = pitch_class(text)
    if name is None:
        raise EvalError(f"no pitch class {clip(text)}; choose from {', '.join(PITCH_CLASSES)} (flats such as Bb too)")
    return name


def notes_report(paths: Sequence[str | Path], target: str | None = None) -> dict[str, Any]:
    """Judge files: the JSON of `mmsteer eval notes`.

    `paths`: audio files in any format that soundfile reads. `mix` says which of their channels were read.

    Raises:
        EvalError: No file was given, a file cannot be read, or there is no such pitch class.
    """
    if not paths:
        raise EvalError("no audio file to judge; give at least one path")
    wanted = None if target is None else parse_pitch_class(target)
    read = [_read_file(path) for path in paths]
    readings = [reading for reading, _ in read]
    rows = [_row(str(path), *one, wanted) for path, one in zip(paths, read, strict=True)]
    if wanted is None:
        return {"files": rows}
    hits = mean_score([_hit(reading, wanted) for reading in readings])
    shares = mean_score([reading.share[wanted] if reading.share else None for reading in readings])
    summary = {"hit": hits.to_json(), "target_share": shares.to_json(), "chance": 1 / 12}
    return {"files": rows, "target": wanted, "summary": summary}


def _read_file(path: str | Path) -> tuple[NoteReading, str]:
    """What is played, and in which mix of the channels."""
    audio = read_audio(path)
    return read_notes(audio.samples, audio.sample_rate), audio.mix


def _hit(reading: NoteReading, target: str) -> float | None:
    return None if reading.main_note is None else float(reading.main_note == target)


def _row(path: str, reading: NoteReading, mix: str, target: str | None) -> dict[str, Any]:
    share = dict(reading.share) if reading.share else None
    row: dict[str, Any] = {
        "file": path,
        "share": share,
        "main_note": reading.main_note,
        "voiced": reading.voiced,
        "mix": mix,
    }
    if target is None:
        return row
    hit = _hit(reading, target)
    return row | {"hit": None if hit is None else bool(hit), "target_share": share and share[target]}


def _main(shares: Floats) -> str | None:
    second, first = np.sort(shares)[-2:]
    return PITCH_CLASSES[int(shares.argmax())] if first - second >= MIN_LEAD else None
