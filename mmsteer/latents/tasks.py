"""Tasks of the bundled models by name: trials, an instruction that asks for it, and one sample that shows it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from mmsteer.adapters import AnyAdapter, LanguageModelAdapter, MusicgenAdapter
from mmsteer.errors import DataError
from mmsteer.eval.notes import parse_pitch_class
from mmsteer.latents import worlds
from mmsteer.latents.trials import Trials
from mmsteer.types import Sample
from mmsteer.worlds.music.concepts import concept_clips
from mmsteer.worlds.music.world import INSTRUMENTS, render_clip, sample_clip
from mmsteer.worlds.scenes import BRIEF_PROMPT, CAPTION_PROMPT, render_scene, split_scenes, write_caption

MUSIC = "note:C to note:B, instrument, instrument:organ and other names"
VISION = "questions, captions, brief"
SCENES = 40
"""Fewest scenes that are asked about: questions are about objects that occur in others."""
_SEED = 2_000_003
"""Of what shows a task; apart from the seeds of prompts."""

VisionTrials = Callable[[LanguageModelAdapter, int, int], Trials]
_VISION: Mapping[str, VisionTrials] = MappingProxyType(
    {
        "questions": lambda adapter, n, seed: _questions(adapter, n, seed),
        "captions": lambda adapter, n, seed: worlds.caption_trials(adapter, n, seed=seed),
        "brief": lambda adapter, n, seed: worlds.brief_trials(adapter, n, seed=seed),
    }
)


def trials_of(adapter: AnyAdapter, task: str, n: int, *, seed: int = 0) -> Trials:
    """Prompts of a task, and how answers are judged.

    Args:
        adapter: The model.
        task: Its name.
        n: Prompts.
        seed: Of prompts and noise.

    Raises:
        DataError: The model has no such task.
    """
    if isinstance(adapter, MusicgenAdapter):
        if task == "instrument":
            return worlds.instrument_trials(adapter, n, seed=seed)
        concept, label = _concept(task)
        make = worlds.note_trials if concept == "note" else worlds.played_trials
        return make(adapter, label, n, seed=seed)
    if task not in _VISION:
        raise DataError(_no_task(task))
    return _VISION[task](adapter, n, seed)


def instruction_of(adapter: AnyAdapter, task: str, n: int, *, seed: int = 0) -> tuple[list[Sample], list[Sample]]:
    """The same contents with and without an instruction: prompts that name an instrument, or ask to be brief.

    Args:
        adapter: The model.
        task: `instrument:organ` or another one, or `brief`.
        n: Contents.
        seed: Of the contents.

    Raises:
        DataError: The task is not one that a prompt asks for.
    """
    if isinstance(adapter, MusicgenAdapter):
        concept, label = _concept(task)
        if concept != "instrument":
            raise DataError(f"no prompt asks for {task!r}; choose instrument:NAME with {', '.join(INSTRUMENTS)}")
        return _instruments(label, n, seed)
    if task != "brief":
        raise DataError(f"no instruction is known for {task!r}; choose brief")
    scenes = split_scenes("train", n, _SEED + seed)
    plain = [Sample(f"plain-{at}", CAPTION_PROMPT, (render_scene(scene),)) for at, scene in enumerate(scenes)]
    return [replace(one, id=f"brief-{at}", prompt=BRIEF_PROMPT) for at, one in enumerate(plain)], plain


def archetype_of(adapter: AnyAdapter, task: str, *, seed: int = 0) -> Sample:
    """One sample that shows what a task wants: a clip with its prompt, or a picture with the answer.

    Args:
        adapter: The model.
        task: Its name.
        seed: Of the sample.

    Raises:
        DataError: The task has none; give one.
    """
    if isinstance(adapter, MusicgenAdapter):
        concept, label = _concept(task)
        [clip] = [one.clip for one in concept_clips(concept, 1, _SEED + seed) if one.label == label]
        return Sample(f"archetype {task}", clip.prompt, output=render_clip(clip))
    if task not in ("captions", "brief"):
        raise DataError(f"no archetype of {task!r} is known; show one with --archetype")
    [scene] = split_scenes("train", 1, _SEED + seed)
    caption = write_caption(np.random.default_rng(_SEED + seed), scene, "careful", brief=task == "brief")
    return Sample(f"archetype {task}", CAPTION_PROMPT, (render_scene(scene),), caption.text)


def _concept(task: str) -> tuple[str, str]:
    """The concept and the label of `note:C` or `instrument:organ`.

    Raises:
        DataError: It is neither.
    """
    concept, _, label = task.partition(":")
    if concept == "note" and label:
        return concept, parse_pitch_class(label)
    if concept == "instrument" and label in INSTRUMENTS:
        return concept, label
    raise DataError(_no_task(task))


def _no_task(task: str) -> str:
    return f"no task {task!r} for this model; music has {MUSIC}; vision has {VISION}"


def _questions(adapter: LanguageModelAdapter, n: int, seed: int) -> Trials:
    [asked] = worlds.question_trials(adapter, max(SCENES, n // 2), seed=seed).split(n)
    return asked


def _instruments(name: str, n: int, seed: int) -> tuple[list[Sample], list[Sample]]:
    instructed, plain = [], []
    for at in range(n):
        said, silent = (
            sample_clip(np.random.default_rng([_SEED + seed, at]), instrument=name, stated=stated, drone=False)
            for stated in (frozenset({"instrument", "tempo"}), frozenset({"tempo"}))
        )
        wave = render_clip(said)
        instructed.append(Sample(f"instructed-{at}", said.prompt, output=wave))
        plain.append(Sample(f"plain-{at}", silent.prompt, output=wave))
    return instructed, plain
