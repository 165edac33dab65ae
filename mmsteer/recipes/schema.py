"""What a recipe may say. Every key that shapes the result is required, and no unknown key is allowed."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Positive = Annotated[float, Field(gt=0)]
Value = bool | int | float | str
Ends = tuple[Positive, Positive]


def _has(item: Any, key: str) -> bool:
    return key in item if isinstance(item, dict) else hasattr(item, key)


class Part(BaseModel):
    """A mapping of a recipe: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Model(Part):
    """Which model, and where it runs."""

    load: Text = Field(description="`bundled:music`, a folder in the from_pretrained layout, or a Hugging Face name")
    device: Text = Field(description="`cpu`, `cuda` or `auto`")
    dtype: Literal["auto", "float32", "bfloat16", "float16"]


class MeanDifferenceProbe(Part):
    """The direction between the class means."""

    name: Literal["mean_difference"]
    seed: Seed = Field(description="seed of the split by source")


class RfmSetting(Part):
    """One fixed choice of a kernel machine."""

    bandwidth: Positive
    exponent: Positive
    ridge: Positive
    centre: bool


class RfmRanges(Part):
    """What the search over kernel machines draws from."""

    bandwidth: Ends
    exponent: Ends
    ridge: Ends
    centre: Annotated[tuple[bool, ...], Field(min_length=1)]


class RfmProbe(Part):
    """The top eigenvector of a recursive feature machine."""

    name: Literal["rfm"]
    seed: Seed = Field(description="seed of the search and of the split by source")
    draws: Annotated[int, Field(ge=0)] = Field(description="settings that the search tries")
    iterations: Count = Field(description="how often a machine may update its metric")
    ranges: RfmRanges
    settings: tuple[RfmSetting, ...] = Field(description="settings to try instead of a search; [] to search")
    unit: Literal["median", "absolute"] = Field(description="unit of the bandwidth")


Probe = Annotated[MeanDifferenceProbe | RfmProbe, Field(discriminator="name")]
NamedProbe = Annotated[
    Annotated[Text, Tag("(file)")] | Annotated[Probe, Tag("(settings)")],
    Discriminator(lambda probe: "(file)" if isinstance(probe, str) else "(settings)"),
]


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


class FoundDirections(Part):
    """Directions that the run finds."""

    family: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")] = Field(
        description="directions are named `family:label`"
    )
    probe: NamedProbe = Field(description="a file of the folder probes/music, without .yaml, or its content")
    data: Annotated[
        Annotated[ConceptData, Tag("(concept)")] | Annotated[SynTheoryData, Tag("(syntheory)")],
        Discriminator(lambda data: "(syntheory)" if _has(data, "syntheory") else "(concept)"),
    ]
    sites: Text = Field(description="where to read, such as decoder.* or decoder.4-11")
    positions: Text = Field(description="which tokens to read, such as all or generated")
    pool: Text = Field(description="mean, max, last")
    text: Literal["prompt", "none"] = Field(description="read under each clip's prompt, or on the null branch")


class FileDirections(Part):
    """Directions that are there already."""

    file: Text = Field(description="a file beside the recipe, or in the folder probes/")


Directions = Annotated[
    Annotated[FileDirections, Tag("(file)")] | Annotated[FoundDirections, Tag("(found)")],
    Discriminator(lambda item: "(file)" if _has(item, "file") else "(found)"),
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


class SteerMapping(Part):
    """A steering line, taken apart."""

    direction: Text
    strength: float | Text = Field(description="a number, or a variable of the sweep, such as '{strength}'")
    unit: Literal["relative", "absolute"] = "relative"
    schedule: Text = "constant(1)"
    positions: Text = "all"
    sites: Text | None = None
    weights: Text = "uniform"
    operator: Text = "add"
    branch: Text = "both"


Steer = Annotated[
    Annotated[SteerMapping, Tag("(mapping)")] | Annotated[Text, Tag("(line)")],
    Discriminator(lambda item: "(mapping)" if isinstance(item, dict | SteerMapping) else "(line)"),
]


class Calibrate(Part):
    """Multiply the strengths so that steering moves the next-token distribution by a given divergence."""

    kl: Positive = Field(description="95th percentile over tokens, in nats")


class Conditions(Part):
    """What is steered: one condition, or with a sweep a table of them."""

    name: Text
    sweep: dict[str, Annotated[tuple[Value, ...], Field(min_length=1)]] = Field(
        default={}, description="each combination of values is a condition; {variable} in a text stands for its value"
    )
    steer: Annotated[tuple[Steer, ...], Field(min_length=1)]
    compose: Literal["sum", "gram_schmidt", "whiten"] = "sum"
    budget: Positive | None = None
    calibrate: Calibrate | None = None
    target: dict[str, Text] = Field(default={}, description="what the audio should have, such as {note: C}")


class Controls(Part):
    """What every condition stands beside."""

    unsteered: bool
    random: Annotated[int, Field(ge=0, le=100)] = Field(description="random directions of each distinct dose")


class MusicRecipe(Part):
    """An experiment with a model that makes music."""

    kind: Literal["music"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    about: Text
    seed: Seed
    model: Model
    directions: Annotated[tuple[Directions, ...], Field(min_length=1)]
    prompts: Prompts
    generate: Generate
    conditions: Annotated[tuple[Conditions, ...], Field(min_length=1)]
    controls: Controls
    evaluate: Annotated[tuple[Text, ...], Field(min_length=1)]


KINDS: dict[str, type[MusicRecipe]] = {"music": MusicRecipe}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors; a recipe that extends another may leave out what that one says."""
    schema = MusicRecipe.model_json_schema()
    schema["title"] = "mmsteer recipe"
    schema["properties"]["extends"] = {"type": "string", "description": "another recipe that this one is laid over"}
    required = schema.pop("required")
    return schema | {"anyOf": [{"required": ["extends"]}, {"required": required}]}
