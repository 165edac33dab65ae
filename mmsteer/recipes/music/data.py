"""The clips that directions are found in, and the prompts that are generated from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmsteer.data.syntheory import CATEGORIES, Catalogue, catalogue, synthesise
from mmsteer.data.syntheory import render as render_item
from mmsteer.data.synthesis import TIMBRES, render
from mmsteer.errors import DataError
from mmsteer.recipes.generation import seed_of
from mmsteer.recipes.music.schema import ConceptData, Prompts, SynTheoryData, Told, World, WorldPrompts
from mmsteer.tasks import Labelled
from mmsteer.types import Sample
from mmsteer.worlds.music.concepts import CONCEPTS, concept_clips
from mmsteer.worlds.music.world import CLIP_SECONDS, sample_clip


@dataclass(frozen=True)
class Prompt:
    """One thing to generate.

    Attributes:
        index: Its place.
        text: What the model is told.
        seed: Seed of its noise, the same under every condition.
        truth: What the text states, by attribute.
    """

    index: int
    text: str
    seed: int
    truth: Mapping[str, str]


def labels_of(data: ConceptData | SynTheoryData) -> tuple[str, ...]:
    """The classes of a set of clips, without rendering any.

    Args:
        data: Which clips.

    Raises:
        DataError: There is no such concept, category or label.
    """
    if isinstance(data, ConceptData):
        if data.concept not in CONCEPTS:
            raise DataError(f"no concept {data.concept!r}; choose from {', '.join(CONCEPTS)}")
        return CONCEPTS[data.concept].labels
    if data.syntheory not in CATEGORIES:
        raise DataError(f"no SynTheory category {data.syntheory!r}; choose from {', '.join(CATEGORIES)}")
    return tuple(map(str, catalogue(data.syntheory).values(data.label)))


def clips_of(data: ConceptData | SynTheoryData, sample_rate: int, text: Told) -> Labelled:
    """Render clips.

    Args:
        data: Which clips.
        sample_rate: Of the model, in Hz.
        text: What the model is told.

    Raises:
        DataError: No prompt can state the concept.
    """
    if isinstance(data, ConceptData):
        return _concept(data, sample_rate, text)
    items = _audible(catalogue(data.syntheory)).sample(data.clips, by=data.label, seed=data.seed)
    samples = tuple(Sample(item.id, output=render_item(item, sample_rate, synthesise)) for item in items)
    return Labelled(samples, tuple(str(item.labels[data.label]) for item in items), tuple(i.group for i in items))


def prompts_of(prompts: Prompts, seed: int) -> tuple[Prompt, ...]:
    """The prompts of a recipe, each with a seed of its own.

    Args:
        prompts: What the recipe says.
        seed: The recipe's seed.

    Raises:
        DataError: What the world is asked for contradicts itself.
    """
    if isinstance(prompts, WorldPrompts):
        pairs = [_world(prompts.world, index) for index in range(prompts.world.n)]
    else:
        pairs = [(text, {}) for text in prompts]
    return tuple(Prompt(at, text, seed_of(seed, at), truth) for at, (text, truth) in enumerate(pairs))


def _audible(clips: Catalogue) -> Catalogue:
    """Without the clips that lie beyond the range of their instrument: a probe would learn silence."""
    return clips.where(silent=0) if "silent" in clips[0].labels else clips


def _concept(data: ConceptData, sample_rate: int, text: Told) -> Labelled:
    clips = concept_clips(data.concept, data.clips, data.seed, stated=text == "stated")
    samples = tuple(
        Sample(
            f"{data.concept}:{one.label}:{at:05d}",
            None if text == "none" else one.clip.prompt,
            output=render(one.clip.notes, TIMBRES[one.clip.instrument], CLIP_SECONDS, sample_rate),
        )
        for at, one in enumerate(clips)
    )
    return Labelled(samples, tuple(one.label for one in clips), tuple(one.group for one in clips))


def _world(world: World, index: int) -> tuple[str, Mapping[str, str]]:
    rng = np.random.default_rng([world.seed, index])
    clip = sample_clip(rng, stated=frozenset(world.state), drone=False, **world.fix)  # type: ignore[arg-type]
    if not clip.prompt:
        raise DataError("the world wrote an empty prompt; let `state` name more")
    return clip.prompt, {name: getattr(clip, name) for name in world.state}
