"""What is heard in a finished clip, from the audio file alone, and how that is held against a target."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mmsteer.eval.activity import HOP_S, Activity, read_activity
from mmsteer.eval.adherence import SURE, AdherenceJudge
from mmsteer.eval.attributes import READINGS
from mmsteer.eval.audio import Audio, read_audio
from mmsteer.eval.chords import chord_from_activity
from mmsteer.eval.keys import key_from_activity
from mmsteer.eval.notes import MIN_VOICED, notes_from_activity
from mmsteer.eval.onsets import read_onsets
from mmsteer.eval.register import register_from_activity
from mmsteer.eval.tempo import tempo_from_onsets
from mmsteer.types.pitch import PITCH_CLASSES
from mmsteer.worlds.music.concepts import CONCEPTS

Reading = Mapping[str, Any]


class Heard:
    """A clip and its front ends, each computed once and only if an evaluator asks."""

    def __init__(self, path: Path) -> None:
        self.audio: Audio = read_audio(path)

    @cached_property
    def activity(self) -> Activity:
        """Which notes sound when."""
        return read_activity(self.audio.samples, self.audio.sample_rate)


def judge(path: Path, evaluators: tuple[str, ...]) -> dict[str, Reading]:
    """What each evaluator hears in a file; plain JSON.

    Args:
        path: The audio file.
        evaluators: Names of `EVALUATORS`.
    """
    heard = Heard(path)
    return {name: EVALUATORS[name](heard) for name in evaluators}


def judge_file(path: Path, evaluator: str) -> Reading:
    """What one evaluator finds in a file of any origin, and `mix`, which of its channels were judged.

    Args:
        path: The audio file.
        evaluator: One of `EVALUATORS`; an instrument is named only where the judge is sure.
    """
    heard = Heard(path)
    reading = _sure_instrument(heard) if evaluator == "instrument" else EVALUATORS[evaluator](heard)
    return {**reading, "mix": heard.audio.mix}


def _sure_instrument(heard: Heard) -> Reading:
    return {"instrument": _listener().read(heard.audio.samples, heard.audio.sample_rate, SURE)["instrument"]}


def _notes(heard: Heard) -> Reading:
    found = notes_from_activity(heard.activity)
    classes = np.where(found.trace.any(axis=1), found.trace.argmax(axis=1), -1)
    share = {name: round(value, 6) for name, value in found.share.items()} if found.share else None
    trace = {"hop_s": HOP_S, "classes": classes.tolist()}
    return {"main_note": found.main_note, "voiced": round(found.voiced, 6), "share": share, "trace": trace}


def _chords(heard: Heard) -> Reading:
    found = chord_from_activity(heard.activity)
    return {"label": found.label, "root": found.root, "quality": TRIAD_NAMES.get(found.quality or "")}


def _register(heard: Heard) -> Reading:
    midi = register_from_activity(heard.activity).midi
    return {"midi": None if midi is None else round(midi, 3), "register": _listener().registers.read(midi)}


def _tempo(heard: Heard) -> Reading:
    onsets = read_onsets(heard.audio.samples, heard.audio.sample_rate)
    # The world has one onset a beat, so onsets still tell slow from fast where their rhythm is irregular.
    bpm = tempo_from_onsets(onsets).bpm
    # Steady noise, which is never voiced, has a few onsets, too: half of 60 such clips would have a tempo.
    if bpm is None and onsets.per_second and heard.activity.voiced_share >= MIN_VOICED:
        bpm = 60 * onsets.per_second
    return {"bpm": None if bpm is None else round(bpm, 3), "tempo": _listener().tempi.read(bpm)}


def _key(heard: Heard) -> Reading:
    found = key_from_activity(heard.activity)
    return {"key": found.key, "mode": found.key.split()[1] if found.key else None, "scale": found.scale}


def _instrument(heard: Heard) -> Reading:
    return {"instrument": _listener().read(heard.audio.samples, heard.audio.sample_rate)["instrument"]}


def _listener() -> AdherenceJudge:
    """The judge that ships: its words for instruments, tempi and registers are the only ones."""
    from mmsteer.worlds.music.listener import load_listener  # brings the models, which the other evaluators do without

    return load_listener()


EVALUATORS: Mapping[str, Callable[[Heard], Reading]] = {
    "notes": _notes,
    "chords": _chords,
    "register": _register,
    "tempo": _tempo,
    "key": _key,
    "instrument": _instrument,
}


@dataclass(frozen=True)
class Target:
    """An attribute that a clip may be asked to have.

    Attributes:
        evaluator: Which of `EVALUATORS` hears it.
        field: Where its reading says the label.
        labels: The labels.
        share: Where the reading says how much of the clip has each label, if it does.
    """

    evaluator: str
    field: str
    labels: tuple[str, ...]
    share: str | None = None

    def scores(self, readings: Mapping[str, Reading], label: str) -> dict[str, float | None]:
        """How far a clip has a label: `hit`, and `share` where that is known; None where it cannot be told.

        Args:
            readings: What was heard.
            label: What was asked for.
        """
        reading = readings[self.evaluator]
        found = reading[self.field]
        scores = {"hit": None if found is None else float(found == label)}
        if self.share:
            shares = reading[self.share]
            scores["share"] = None if shares is None else shares[label]
        return scores


TRIAD_NAMES = {"maj": "major", "min": "minor", "aug": "aug", "dim": "dim"}
TARGETS: Mapping[str, Target] = {
    "note": Target(*READINGS["note"], PITCH_CLASSES, "share"),
    "chord": Target(*READINGS["chord"], CONCEPTS["chord"].labels),
    "register": Target(*READINGS["register"], CONCEPTS["register"].labels),
    "tempo": Target(*READINGS["tempo"], CONCEPTS["tempo"].labels),
    "instrument": Target(*READINGS["instrument"], CONCEPTS["instrument"].labels),
    "mode": Target(*READINGS["mode"], CONCEPTS["mode"].labels),
}


def adherence(readings: Mapping[str, Reading], truth: Mapping[str, str]) -> dict[str, float | None]:
    """For each attribute that the prompt states and an evaluator hears, whether the clip has it.

    Args:
        readings: What was heard.
        truth: What the prompt states.
    """
    known = {name: TARGETS[name] for name in truth if name in TARGETS and TARGETS[name].evaluator in readings}
    return {name: target.scores(readings, truth[name])["hit"] for name, target in known.items()}


def needed(evaluate: tuple[str, ...]) -> tuple[str, ...]:
    """The evaluators behind a recipe's list: `adherence` takes those of what a prompt may state.

    Args:
        evaluate: Names of `EVALUATORS`, and `adherence`.
    """
    heard = [TARGETS[name].evaluator for name in STATED] if ADHERENCE in evaluate else []
    return tuple(dict.fromkeys([name for name in evaluate if name != ADHERENCE] + heard))


ADHERENCE = "adherence"
STATED = ("instrument", "tempo", "register")
