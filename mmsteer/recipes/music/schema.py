"""The rendered music in a recipe: clips that directions are found in, and prompts that are generated from."""

from typing import Annotated, Literal

from pydantic import Field

from mmsteer.probes.bounds import Count, Seed
from mmsteer.recipes.part import Part, Text


class ConceptData(Part):
    """Clips of the rendered world, balanced over everything but the label."""

    concept: Text = Field(description="note, register, tempo, instrument, chord, mode or texture")
    clips: Count = Field(description="clips of each label")
    seed: Seed
    text: Literal["prompt", "stated", "none"] = Field(
        description="read under each clip's prompt, which leaves the concept open; under one that states it; or on the "
        "null branch"
    )


class SynTheoryData(Part):
    """Clips of a SynTheory category, rendered by the project's own synthesiser and read on the null branch."""

    syntheory: Text = Field(description="notes, intervals, scales, chords, simple_progressions, time_signatures")
    label: Text = Field(description="which of the category's labels is told apart, such as root")
    clips: Count = Field(description="clips of each label")
    seed: Seed


class World(Part):
    """Prompts of the rendered world, whose truth is known."""

    n: Count
    seed: Seed
    state: Annotated[tuple[Literal["instrument", "tempo", "register", "mode", "texture"], ...], Field(min_length=1)]
    fix: dict[Literal["instrument", "tempo", "register", "mode", "texture", "chord"], Text] = Field(
        default={}, description="what all clips have in common, such as {texture: melody}"
    )


class WorldPrompts(Part):
    """Prompts of the rendered world."""

    world: World
