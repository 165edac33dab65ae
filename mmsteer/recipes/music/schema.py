"""What a recipe of the kind music may say."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from mmsteer.recipes.schema import (
    Choose,
    Conditions,
    Count,
    FileDirections,
    FoundDirections,
    Part,
    Positive,
    Recipe,
    Seed,
    Text,
    has,
)


class ConceptData(Part):
    """Clips of the rendered world, balanced over everything but the label."""

    concept: Text = Field(description="note, register, tempo, instrument, chord, mode or texture")
    clips: Count = Field(description="clips of each label")
    seed: Seed


class SynTheoryData(Part):
    """Clips of a SynTheory category, rendered by the project's own synthesiser."""

    syntheory: Text = Field(description="notes, intervals, scales, chords, simple_progressions, time_signatures")
    label: Text = Field(description="which of the category's labels is told apart, such as root")
    clips: Count = Field(description="clips of each label")
    seed: Seed


Told = Literal["prompt", "stated", "none"]
"""What the model is told of a clip that it reads."""


class MusicDirections(FoundDirections):
    """Directions that the run finds in clips."""

    data: Annotated[
        Annotated[ConceptData, Tag("(concept)")] | Annotated[SynTheoryData, Tag("(syntheory)")],
        Discriminator(lambda data: "(syntheory)" if has(data, "syntheory") else "(concept)"),
    ]
    text: Told = Field(
        description="read under each clip's prompt, which leaves the concept open; under one that states it; or on the "
        "null branch"
    )


Directions = Annotated[
    Annotated[FileDirections, Tag("(file)")] | Annotated[MusicDirections, Tag("(found)")],
    Discriminator(lambda item: "(file)" if has(item, "file") else "(found)"),
]


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


Prompts = Annotated[
    Annotated[WorldPrompts, Tag("(world)")] | Annotated[tuple[Text, ...], Field(min_length=1), Tag("(texts)")],
    Discriminator(lambda prompts: "(world)" if isinstance(prompts, dict | WorldPrompts) else "(texts)"),
]


class Generate(Part):
    """How audio is sampled."""

    seconds: Annotated[float, Field(gt=0, le=600)]
    guidance: Annotated[float, Field(ge=1)]
    temperature: Positive
    top_k: Annotated[int, Field(ge=0)]
    batch: Annotated[int, Field(ge=1, le=4096)]


class MusicConditions(Conditions):
    """What is steered, and what the audio should then have."""

    target: dict[str, Text] = Field(default={}, description="what the audio should have, such as {note: C}")


class MusicChoose(Choose):
    """The prompts on which conditions are tried."""

    prompts: Prompts


class MusicRecipe(Recipe):
    """An experiment with a model that makes music."""

    kind: Literal["music"]
    directions: Annotated[tuple[Directions, ...], Field(min_length=1)]
    prompts: Prompts
    generate: Generate
    conditions: Annotated[tuple[MusicConditions, ...], Field(min_length=1)]
    evaluate: Annotated[tuple[Text, ...], Field(min_length=1)]
    choose: MusicChoose | None = None
