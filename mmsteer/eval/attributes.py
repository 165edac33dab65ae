"""Attributes of a clip that are read from its audio alone: note, chord, register, tempo, instrument, mode."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsteer.eval.activity import HOP_S, Activity, read_activity
from mmsteer.eval.adherence import SURE, load_judge
from mmsteer.eval.audio import read_audio
from mmsteer.eval.chords import chord_from_activity
from mmsteer.eval.keys import key_from_activity
from mmsteer.eval.notes import MIN_VOICED, notes_from_activity
from mmsteer.eval.onsets import read_onsets
from mmsteer.eval.register import register_from_activity
from mmsteer.eval.tempo import tempo_from_onsets
from mmsteer.types.pitch import PITCH_CLASSES

Reading = Mapping[str, Any]
"""What an evaluator reads in a clip; plain JSON, None where it cannot be read."""


@dataclass(frozen=True, eq=False)
class Clip:
    """Audio in memory, whose front ends are computed once and only if an evaluator asks.

    `samples`: mono audio, (samples,).
    `sample_rate`: samples per second.
    """

    samples: NDArray[np.floating]
    sample_rate: int

    @cached_property
    def activity(self) -> Activity:
        """Which notes sound when."""
        return read_activity(self.samples, self.sample_rate)

    def read(self, evaluators: Iterable[str]) -> dict[str, Reading]:
        """What evaluators read in the clip.

        `evaluators`: names of `EVALUATORS`.
        """
        return {name: EVALUATORS[name](self) for name in evaluators}


def read_file(path: Path, evaluators: Iterable[str]) -> dict[str, Reading]:
    """What evaluators read in an audio file.

    `evaluators`: names of `EVALUATORS`.
    """
    audio = read_audio(path)
    return Clip(audio.samples, audio.sample_rate).read(evaluators)


def read_any_file(path: Path, evaluator: str) -> Reading:
    """What one evaluator reads in a file of any origin, and `mix`, which of its channels were read.

    `evaluator`: one of `EVALUATORS`; an instrument is named only where the judge is sure.
    """
    audio = read_audio(path)
    clip = Clip(audio.samples, audio.sample_rate)
    reading = _instrument(clip, SURE) if evaluator == "instrument" else EVALUATORS[evaluator](clip)
    return {**reading, "mix": audio.mix}


def _notes(clip: Clip) -> Reading:
    found = notes_from_activity(clip.activity)
    classes = np.where(found.trace.any(axis=1), found.trace.argmax(axis=1), -1)
    share = {name: round(value, 6) for name, value in found.share.items()} if found.share else None
    trace = {"hop_s": HOP_S, "classes": classes.tolist()}
    return {"main_note": found.main_note, "voiced": round(found.voiced, 6), "share": share, "trace": trace}


def _chords(clip: Clip) -> Reading:
    found = chord_from_activity(clip.activity)
    named = {"label": found.label, "root": found.root, "quality": TRIAD_NAMES.get(found.quality or "")}
    return named | {"trace": {"edges_s": found.edges_s.round(4).tolist(), "labels": list(found.trace)}}


def _register(clip: Clip) -> Reading:
    midi = register_from_activity(clip.activity).midi
    return {"midi": None if midi is None else round(midi, 3), "register": load_judge().registers.read(midi)}


def _tempo(clip: Clip) -> Reading:
    onsets = read_onsets(clip.samples, clip.sample_rate)
    # The world has one onset a beat, so onsets still tell slow from fast where their rhythm is irregular.
    bpm = tempo_from_onsets(onsets).bpm
    # Steady noise, which is never voiced, has a few onsets, too: half of 60 such clips would have a tempo.
    if bpm is None and onsets.per_second and clip.activity.voiced_share >= MIN_VOICED:
        bpm = 60 * onsets.per_second
    return {"bpm": None if bpm is None else round(bpm, 3), "tempo": load_judge().tempi.read(bpm)}


def _key(clip: Clip) -> Reading:
    found = key_from_activity(clip.activity)
    return {"key": found.key, "mode": found.key.split()[1] if found.key else None, "scale": found.scale}


def _instrument(clip: Clip, sure: float | None = None) -> Reading:
    more = () if sure is None else (sure,)
    return {"instrument": load_judge().read(clip.samples, clip.sample_rate, *more)["instrument"]}


EVALUATORS: Mapping[str, Callable[[Clip], Reading]] = MappingProxyType(
    {
        "notes": _notes,
        "chords": _chords,
        "register": _register,
        "tempo": _tempo,
        "key": _key,
        "instrument": _instrument,
    }
)


@dataclass(frozen=True)
class Attribute:
    """An attribute that a clip may be asked to have.

    Attributes:
        evaluator: Which of `EVALUATORS` reads it.
        field: Where its reading has the label.
        labels: The labels.
        share: Where the reading has the share of the clip of each label, if it does.
    """

    evaluator: str
    field: str
    labels: tuple[str, ...]
    share: str | None = None

    def label(self, readings: Mapping[str, Reading]) -> str | None:
        """The label that a clip has; None where it cannot be read.

        Args:
            readings: What was read, the attribute's evaluator among it.
        """
        found: str | None = readings[self.evaluator][self.field]
        return found

    def scores(self, readings: Mapping[str, Reading], label: str) -> dict[str, float | None]:
        """How far a clip has a label: `hit`, and `share` where that is known; None where it cannot be read.

        Args:
            readings: What was read.
            label: What was asked for.
        """
        found = self.label(readings)
        scores = {"hit": None if found is None else float(found == label)}
        if self.share:
            shares = readings[self.evaluator][self.share]
            scores["share"] = None if shares is None else shares[label]
        return scores


TRIAD_NAMES = {"maj": "major", "min": "minor", "aug": "aug", "dim": "dim"}
INSTRUMENTS = ("piano", "marimba", "organ", "flute", "strings", "bell", "guitar", "clarinet")
"""Those that the judge knows."""
ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType(
    {
        "note": Attribute("notes", "main_note", PITCH_CLASSES, "share"),
        "chord": Attribute("chords", "quality", tuple(TRIAD_NAMES.values())),
        "register": Attribute("register", "register", ("low", "middle", "high")),
        "tempo": Attribute("tempo", "tempo", ("slow", "medium", "fast")),
        "instrument": Attribute("instrument", "instrument", INSTRUMENTS),
        "mode": Attribute("key", "mode", ("major", "minor")),
    }
)
"""The attributes by name."""


def read_labels(clip: Clip, attributes: Iterable[str]) -> dict[str, str | None]:
    """The label of each of some attributes; None where it cannot be read.

    `attributes`: names of `ATTRIBUTES`.
    """
    known = {name: ATTRIBUTES[name] for name in attributes}
    readings = clip.read(dict.fromkeys(one.evaluator for one in known.values()))
    return {name: one.label(readings) for name, one in known.items()}
