"""What a recipe may say. Every key that shapes the result is required, and no unknown key is allowed."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from mmsteer.probes import LAT, PCA, RFM, VTI, Aggregation, Chance, Linear, Logistic, MeanDifference
from mmsteer.probes.bounds import Count, Positive, Seed
from mmsteer.recipes.attributing.schema import Attributed
from mmsteer.recipes.music.schema import ConceptData, SynTheoryData, WorldPrompts
from mmsteer.recipes.part import Part, Text, Value, by_key, has
from mmsteer.recipes.rows.schema import Batch, Generate, LabelledRows, RewardedOutputs, Rows, SystemPairs
from mmsteer.recipes.vision.schema import AmberImages, Ask, CocoImages, Decode, FolderImages, Pairs, SceneImages
from mmsteer.steering.attribute import Unit


class Model(Part):
    """Which model, and where it runs."""

    load: Text = Field(
        description="`bundled:music`, a folder in the from_pretrained layout beside the recipe, or a Hugging Face name"
    )
    device: Text = Field(description="`cpu`, `cuda` or `auto`")
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    quantise: Literal["4bit", "8bit"] | None = Field(default=None, description="hold the weights so, by bitsandbytes")


class SaeProbe(Part):
    """Features of a sparse dictionary that go with a label, added up at the dictionary's site."""

    name: Literal["sae"]
    dictionary: Text = Field(
        description="`bundled:music`, `bundled:vision`, `bundled:text/text.14`, or a folder beside the recipe"
    )
    selector: Literal[
        "mean_difference",
        "frequency",
        "pearson",
        "mutual_information",
        "fisher",
        "auroc",
        "importance",
        "positive_only",
        "random",
    ] = Field(description="what a feature is chosen by; random is the control")
    features: Count = Field(description="features of a label, at most")
    coefficient: Literal["maximum", "positive_mean", "mean_plus_spread", "mean_difference"] = Field(
        description="how strong each is beside the others"
    )
    seed: Seed = Field(description="seed of the split by source, and of the random control")


Probe = Annotated[
    MeanDifference | PCA | LAT | Logistic | Linear | Chance | RFM | Aggregation | VTI | SaeProbe,
    Field(discriminator="name"),
]
"""The settings of a probe are the probe itself, checked as strictly as the rest of a recipe."""
NamedProbe = Annotated[
    Annotated[Text, Tag("(file)")] | Annotated[Probe, Tag("(settings)")],
    Discriminator(lambda probe: "(file)" if isinstance(probe, str) else "(settings)"),
]


FoundIn = Annotated[
    Annotated[Pairs, Tag("(contrast)")]
    | Annotated[ConceptData, Tag("(concept)")]
    | Annotated[SynTheoryData, Tag("(syntheory)")]
    | Annotated[SystemPairs, Tag("(systems)")]
    | Annotated[RewardedOutputs, Tag("(reward)")]
    | Annotated[LabelledRows, Tag("(files)")],
    by_key("contrast", "concept", "syntheory", "systems", "reward", "files"),
]
"""What directions are found in."""

Texts = Annotated[tuple[Text, ...], Field(min_length=1)]
Source = Annotated[
    Annotated[Texts, Tag("(texts)")]
    | Annotated[
        Annotated[Rows, Tag("(files)")]
        | Annotated[WorldPrompts, Tag("(world)")]
        | Annotated[SceneImages, Tag("(scenes)")]
        | Annotated[CocoImages, Tag("(coco)")]
        | Annotated[FolderImages, Tag("(folder)")]
        | Annotated[AmberImages, Tag("(amber)")],
        by_key("files", "world", "scenes", "coco", "folder", "amber"),
        Tag("(part)"),
    ],
    Discriminator(lambda item: "(texts)" if isinstance(item, list | tuple) else "(part)"),
]
"""What is generated from: prompts as they stand here, rows, or a world or benchmark."""


class FoundDirections(Part):
    """Directions that the run finds: in rows, in the model's own outputs, in rendered clips, or in pairs of images."""

    family: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")] = Field(
        description="directions are named `family:label`"
    )
    probe: NamedProbe = Field(description="a file of probes or probes/<kind>, without .yaml, or its content")
    data: FoundIn
    sites: Text = Field(
        description="where to read, such as decoder.* or decoder.4-11; features are read at their dictionary's own "
        "site, which is one of these"
    )
    positions: Text = Field(description="which tokens to read, such as all or generated")
    pool: Text = Field(description="mean, max, last; vision also tokens, a direction at each token")
    without: tuple[Text, ...] = Field(
        default=(), description="families above this one, whose directions its own shall be orthogonal to"
    )


class FileDirections(Part):
    """Directions that are there already."""

    file: Text = Field(description="a file beside the recipe, or in the folder probes/ of mmsteer")
    compatibility: Literal["exact", "architecture", "dimension"] = Field(
        default="exact", description="how alike the model must be to the one that they were found in"
    )


class SteerMapping(Part):
    """A steering line, taken apart."""

    direction: Text
    strength: float | Text = Field(description="a number, or a variable of the sweep, such as '{strength}'")
    unit: Unit = "relative"
    schedule: Text = "constant(1)"
    positions: Text = "all"
    sites: Text | None = None
    weights: Text = "uniform"
    operator: Text = "add"
    branch: Text = "both"
    gate: Text | None = None


Directions = Annotated[
    Annotated[FileDirections, Tag("(file)")] | Annotated[FoundDirections, Tag("(found)")],
    Discriminator(lambda item: "(file)" if has(item, "file") else "(found)"),
]
Steer = Annotated[
    Annotated[SteerMapping, Tag("(mapping)")] | Annotated[Text, Tag("(line)")],
    Discriminator(lambda item: "(mapping)" if isinstance(item, dict | SteerMapping) else "(line)"),
]


class Calibrate(Part):
    """Multiply the strengths so that steering moves the next-token distribution by a given divergence."""

    kl: Positive = Field(description="95th percentile over tokens, in nats")


class Conditions(Part):
    """What is steered, or how the next word is chosen instead: one condition, or with a sweep a table of them."""

    name: Text
    sweep: dict[str, Annotated[tuple[Value, ...], Field(min_length=1)]] = Field(
        default={}, description="each combination of values is a condition; {variable} in a text stands for its value"
    )
    steer: tuple[Steer, ...] = Field(
        default=(),
        description="lines such as 'note:C 0.1 fade-in 0..4s', several in one text with ; between them, or their parts",
    )
    compose: Literal["sum", "gram_schmidt", "whiten"] = "sum"
    budget: Positive | None = None
    calibrate: Calibrate | None = None
    target: dict[str, Text] = Field(
        default={}, description="with evaluate: what the audio should have, such as {note: C}"
    )
    decode: Decode | None = Field(default=None, description="with ask: in the place of steer")
    per_image: Literal["own", "next"] | None = Field(
        default=None,
        description="with ask: each caption is steered along what its own picture adds to the prompt, in the place of "
        "directions of `no_image` pairs, whose typical norms stay the unit; next, what the picture after it adds, is a "
        "control",
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> "Conditions":
        if bool(self.steer) == (self.decode is not None):
            raise ValueError("a condition either steers or decodes; give at least 1 line to steer, or decode")
        if self.per_image and not self.steer:
            raise ValueError("per_image says along what lines steer; give at least 1 line to steer")
        return self


class Controls(Part):
    """What every condition stands beside."""

    unsteered: bool
    random: Annotated[int, Field(ge=0, le=100)] = Field(description="random directions of each distinct dose")
    searched: Annotated[int, Field(ge=0, le=20)] = Field(
        default=0,
        description="with choose: draws of random directions, each tried wherever a condition is, and the best "
        "chosen by the same rule",
    )
    shuffled: bool = Field(default=False, description="the directions found again with the labels shuffled")
    wrong_image: bool = Field(
        default=False, description="the directions found again with the images of the pairs exchanged"
    )


class Bound(Part):
    """What a metric may change by, against the unsteered run."""

    at_least: float | None = None
    at_most: float | None = None


class Choose(Part):
    """Try all conditions on other material first; only the best goes on, and the test decides nothing."""

    data: Source = Field(description="what conditions are tried on, none of which the test shows")
    of: Literal["all", "each"] = Field(description="one condition of all, or one of each entry of conditions")
    maximise: Text | None = Field(default=None, description="the metric that should be large, such as f1")
    minimise: Text | None = Field(default=None, description="the metric that should be small, such as chair_s")
    bounds: dict[str, Bound] = Field(
        default={}, description="changes against the unsteered run, such as {recall: {at_least: -0.03}}"
    )

    @model_validator(mode="after")
    def _one_goal(self) -> "Choose":
        if (self.maximise is None) == (self.minimise is None):
            raise ValueError("say what to maximise or what to minimise, one of the two")
        return self


class Recipe(Part):
    """An experiment: what is done to a model, what is generated from and how, and what is measured."""

    kind: Literal["text", "image", "music"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)] = Field(
        description="of the run folder, with an id behind it"
    )
    about: Text = Field(description="what the recipe is for; reports show it beside the recipe")
    seed: Seed = Field(description="of all that is drawn and says no seed of its own")
    model: Model
    directions: tuple[Directions, ...]
    data: Source
    generate: Generate | None = None
    score: dict[Text, Text] = Field(
        default={},
        description="for the name of each metric what it measures; text: rewards such as contains:Arr or refusal, "
        "and length, blank, surprise, options; audio: targets such as note:C or instrument:flute, and voiced",
    )
    evaluate: tuple[Text, ...] = Field(
        default=(),
        description="audio: what is read of each clip, such as notes or tempo, for the targets of the conditions; and "
        "adherence to what the prompts of the world state",
    )
    ask: Ask | None = Field(default=None, description="of images of a world or benchmark, in the place of generate")
    batch: Batch | None = Field(default=None, description="with ask: images that run together")
    conditions: Annotated[tuple[Conditions, ...], Field(min_length=1)]
    controls: Controls
    choose: Choose | None = None
    attribution: Attributed | None = None
