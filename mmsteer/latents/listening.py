"""What is heard in the clips of a steered music model: what was asked for, what it cost, and what a feature changes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from mmsteer.adapters import MusicgenAdapter
from mmsteer.eval.adherence import adherence, load_judge
from mmsteer.eval.notes import read_notes
from mmsteer.eval.register import read_register
from mmsteer.eval.tempo import read_tempo
from mmsteer.latents.controls import at_maximum
from mmsteer.latents.trials import sampled
from mmsteer.sae import SparseDictionary, Usage
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Direction, Sample, Sampling, Score, mean_score
from mmsteer.worlds.music.world import CLIP_SECONDS, sample_clip

HEARD = ("note", "register", "tempo", "instrument")
"""The concepts that can be judged from the audio."""
BATCH = 16
PROMPT_SEED = 1_000_003
"""Added to seeds of prompts: the model was trained on the clips of small ones."""


@dataclass(frozen=True)
class Heard:
    """What is played under one steering.

    Attributes:
        condition: How the model was steered.
        concept: What was asked for: the concept,
        label: and its label.
        hit: Share of the clips in which it is heard; clips that cannot be judged are unscored.
        adherence: Mean share of what the prompts name that is heard.
    """

    condition: str
    concept: str
    label: str
    hit: Score
    adherence: Score


@dataclass(frozen=True)
class Meaning:
    """What steering a feature changes in the clips, by the evaluators; each beside the same prompts unsteered.

    Attributes:
        feature: The feature.
        factor: Strength, in its largest activations.
        notes: The pitch class whose share of the sounding time grew most, and by how much; None if nothing sounds.
        register: Change of the median MIDI note, in semitones; None as above.
        tempo: Change of the tempo in beats a minute; None where no tempo is heard.
        instruments: The instrument heard most, before and after.
    """

    feature: int
    factor: float
    notes: tuple[str, float] | None
    register: float | None
    tempo: float | None
    instruments: tuple[str | None, str | None]


def prompts(concept: str, n: int, seed: int) -> list[tuple[Sample, dict[str, str]]]:
    """Prompts that name what the listener hears but for the concept, and what they name.

    Args:
        concept: What they leave open.
        n: How many.
        seed: Their seed.
    """
    stated = frozenset({"instrument", "tempo", "register"} - {concept})
    found = []
    for index in range(n):
        clip = sample_clip(np.random.default_rng([PROMPT_SEED + seed, index]), stated=stated, drone=False)
        named = {name: str(getattr(clip, name)) for name in sorted(stated)}
        found.append((Sample(f"clip-{seed}-{index}", clip.prompt), named))
    return found


def play(
    adapter: MusicgenAdapter, asked: Sequence[Sample], steering: Steering | None = None, *, seed: int = 0
) -> list[NDArray[np.float32]]:
    """Clips of some prompts; the same prompt draws the same noise under every steering.

    Args:
        adapter: The model.
        asked: The prompts.
        steering: What is applied; nothing where it is left out.
        seed: Seed of the noise.
    """
    generate, starts = sampled(adapter, Sampling(seconds=CLIP_SECONDS), seed=seed), range(0, len(asked), BATCH)
    with steer(adapter, steering or Steering()):
        return [made.output for start in starts for made in generate(asked[start : start + BATCH])]


def pushed(direction: Direction, strength: float) -> Steering:
    """A direction added everywhere on the conditional branch, which guidance then amplifies.

    Args:
        direction: The direction.
        strength: Share of the typical norm of a state.
    """
    return Steering((Attribute(direction, strength, branch="conditional"),))


def listen(
    adapter: MusicgenAdapter,
    concept: str,
    label: str,
    condition: str,
    steering: Steering | None,
    *,
    n: int = 8,
    seed: int = 0,
) -> Heard:
    """How often a label is heard under a steering, and what it cost.

    Args:
        adapter: The model.
        concept: One of `HEARD`.
        label: What should be heard.
        condition: Name of the steering.
        steering: What is applied; None for nothing.
        n: Prompts.
        seed: Of prompts and noise.
    """
    asked = prompts(concept, n, seed)
    waves = play(adapter, [sample for sample, _ in asked], steering, seed=seed)
    words = [load_judge().read(wave, adapter.sample_rate) for wave in waves]
    said = [_note(adapter, wave) for wave in waves] if concept == "note" else [one[concept] for one in words]
    hits = [None if one is None else float(one == label) for one in said]
    kept = [adherence(named, one) for (_, named), one in zip(asked, words, strict=True)]
    return Heard(condition, concept, label, mean_score(hits), mean_score(kept))


def meanings(
    adapter: MusicgenAdapter,
    dictionary: SparseDictionary,
    features: Sequence[int],
    used: Usage,
    *,
    factor: float = 1.0,
    n: int = 8,
    seed: int = 0,
) -> list[Meaning]:
    """Steer features, h + factor · maximum · row, and let the evaluators say what changed.

    Args:
        adapter: The model.
        dictionary: The dictionary.
        features: Which features, such as those that a detector rests on.
        used: How they are used; it has their largest activations.
        factor: Strength, in largest activations.
        n: Prompts, which name nothing.
        seed: Of prompts and noise.

    Source: Kuznetsov et al. 2025, arXiv:2503.03601, who let a language model describe the changes.
    """
    asked = [replace(sample, prompt="music") for sample, _ in prompts("note", n, seed)]
    before = [_described(adapter, wave) for wave in play(adapter, asked, seed=seed)]
    found = []
    for feature in features:
        push = replace(at_maximum(dictionary, feature, used, factor), branch="conditional")
        after = [_described(adapter, wave) for wave in play(adapter, asked, Steering((push,)), seed=seed)]
        found.append(_meaning(feature, factor, before, after))
    return found


@dataclass(frozen=True)
class _Described:
    """One clip, as far as the evaluators can tell."""

    share: Mapping[str, float] | None
    midi: float | None
    bpm: float | None
    instrument: str | None


def _described(adapter: MusicgenAdapter, wave: NDArray[np.float32]) -> _Described:
    rate = adapter.sample_rate
    instrument = load_judge().read(wave, rate)["instrument"]
    return _Described(
        read_notes(wave, rate).share, read_register(wave, rate).midi, read_tempo(wave, rate).bpm, instrument
    )


def _meaning(feature: int, factor: float, before: Sequence[_Described], after: Sequence[_Described]) -> Meaning:
    shares = [[one.share for one in side if one.share is not None] for side in (before, after)]
    notes = None
    if all(shares):
        means = [{name: fmean(one[name] for one in side) for name in side[0]} for side in shares]
        grown = {name: means[1][name] - means[0][name] for name in means[0]}
        most = max(grown, key=lambda name: grown[name])
        notes = (most, grown[most])
    register = _change([one.midi for one in before], [one.midi for one in after])
    tempo = _change([one.bpm for one in before], [one.bpm for one in after])
    most_heard = [Counter(one.instrument for one in side if one.instrument).most_common(1) for side in (before, after)]
    first, second = (side[0][0] if side else None for side in most_heard)
    return Meaning(feature, factor, notes, register, tempo, (first, second))


def _change(before: Sequence[float | None], after: Sequence[float | None]) -> float | None:
    one, two = ([value for value in side if value is not None] for side in (before, after))
    return median(two) - median(one) if one and two else None


def _note(adapter: MusicgenAdapter, wave: NDArray[np.float32]) -> str | None:
    return read_notes(wave, adapter.sample_rate).main_note
