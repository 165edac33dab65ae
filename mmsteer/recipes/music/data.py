"""The clips that directions are found in, and the prompts that are generated from."""

from typing import Any

import numpy as np

from mmsteer.data.syntheory import CATEGORIES, Catalogue, catalogue, synthesise
from mmsteer.data.syntheory import render as render_item
from mmsteer.data.synthesis import TIMBRES, render
from mmsteer.errors import DataError
from mmsteer.recipes.music.schema import ConceptData, SynTheoryData, World
from mmsteer.tasks import Labelled, Row
from mmsteer.types import Sample
from mmsteer.worlds.music.concepts import CONCEPTS, check_stated, concept_clips
from mmsteer.worlds.music.world import CLIP_SECONDS, sample_clip


def labels_of(data: ConceptData | SynTheoryData) -> tuple[str, ...]:
    """The classes of a set of clips, without rendering any.

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


def check(data: ConceptData | SynTheoryData) -> None:
    """Refuse to state what no prompt can state."""
    if isinstance(data, ConceptData) and data.text == "stated":
        check_stated(data.concept)


def samples_of(data: ConceptData | SynTheoryData, adapter: Any) -> Labelled:
    """Render clips."""
    if isinstance(data, ConceptData):
        return _concept(data, adapter.sample_rate)
    items = _audible(catalogue(data.syntheory)).sample(data.clips, by=data.label, seed=data.seed)
    samples = tuple(Sample(item.id, output=render_item(item, adapter.sample_rate, synthesise)) for item in items)
    return Labelled(samples, tuple(str(item.labels[data.label]) for item in items), tuple(i.group for i in items))


def world_rows(world: World) -> tuple[Row, ...]:
    """Prompts of the rendered world, with what they state."""
    return tuple(_world(world, index) for index in range(world.n))


def _audible(clips: Catalogue) -> Catalogue:
    """Without the clips that lie beyond the range of their instrument: a probe would learn silence."""
    return clips.where(silent=0) if "silent" in clips[0].labels else clips


def _concept(data: ConceptData, sample_rate: int) -> Labelled:
    clips = concept_clips(data.concept, data.clips, data.seed, stated=data.text == "stated")
    samples = tuple(
        Sample(
            f"{data.concept}:{one.label}:{at:05d}",
            None if data.text == "none" else one.clip.prompt,
            output=render(one.clip.notes, TIMBRES[one.clip.instrument], CLIP_SECONDS, sample_rate),
        )
        for at, one in enumerate(clips)
    )
    return Labelled(samples, tuple(one.label for one in clips), tuple(one.group for one in clips))


def _world(world: World, index: int) -> Row:
    rng = np.random.default_rng([world.seed, index])
    clip = sample_clip(rng, stated=frozenset(world.state), drone=False, **world.fix)  # type: ignore[arg-type]
    if not clip.prompt:
        raise DataError("the world wrote an empty prompt; let `state` name more")
    truth: dict[str, str] = {name: getattr(clip, name) for name in world.state}
    return Row(str(index), f"prompt {index}", clip.prompt, attributes=truth)
