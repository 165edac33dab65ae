"""What recipes of every kind may say. Every key that shapes the result is required, and no unknown key is allowed."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Positive = Annotated[float, Field(gt=0)]
Value = bool | int | float | str
Ends = tuple[Positive, Positive]


def has(item: Any, key: str) -> bool:
    """Whether a part has a key, read or not yet read.

    Args:
        item: A mapping, or what was made of one.
        key: The key.
    """
    return key in item if isinstance(item, dict) else hasattr(item, key)


class Part(BaseModel):
    """A mapping of a recipe: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Model(Part):
    """Which model, and where it runs."""

    load: Text = Field(
        description="`bundled:music`, a folder in the from_pretrained layout beside the recipe, or a Hugging Face name"
    )
    device: Text = Field(description="`cpu`, `cuda` or `auto`")
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    quantise: Literal["4bit", "8bit"] | None = Field(default=None, description="hold the weights so, by bitsandbytes")


class MeanDifferenceProbe(Part):
    """The direction between the class means."""

    name: Literal["mean_difference"]
    seed: Seed = Field(description="seed of the split by source")


class PcaProbe(Part):
    """The first principal component, of the pairs' differences where there are pairs."""

    name: Literal["pca"]
    seed: Seed = Field(description="seed of the split by source")


class LatProbe(Part):
    """The first principal component of random differences of length 1."""

    name: Literal["lat"]
    seed: Seed = Field(description="seed of the pairs and of the split by source")


class LogisticProbe(Part):
    """The weight of a logistic regression."""

    name: Literal["logistic"]
    penalties: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        description="values of C, of which validation chooses one"
    )
    seed: Seed = Field(description="seed of the split by source")


class LinearProbe(Part):
    """The weight of a ridge regression."""

    name: Literal["linear"]
    ridges: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        description="in units of the mean square of a coordinate; validation chooses one"
    )
    seed: Seed = Field(description="seed of the split by source")


class RandomProbe(Part):
    """A direction drawn at random: the control among probes."""

    name: Literal["random"]
    seed: Seed = Field(description="seed of the draw and of the split by source")


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


class VtiProbe(Part):
    """VTI's direction from pairs, as the paper defines it or as its program computes it."""

    name: Literal["vti"]
    mode: Literal["paper", "code"]
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
    screen: Count = Field(1500, description="most training samples that settings are compared on")
    unit: Literal["median", "absolute"] = Field(description="unit of the bandwidth")


Probe = Annotated[
    MeanDifferenceProbe
    | PcaProbe
    | LatProbe
    | LogisticProbe
    | LinearProbe
    | RandomProbe
    | RfmProbe
    | SaeProbe
    | VtiProbe,
    Field(discriminator="name"),
]
NamedProbe = Annotated[
    Annotated[Text, Tag("(file)")] | Annotated[Probe, Tag("(settings)")],
    Discriminator(lambda probe: "(file)" if isinstance(probe, str) else "(settings)"),
]


class FoundDirections(Part):
    """Directions that the run finds; each kind of recipe says in what data."""

    family: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")] = Field(
        description="directions are named `family:label`"
    )
    probe: NamedProbe = Field(description="a file of probes or probes/<kind>, without .yaml, or its content")
    data: Any
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
    unit: Literal["relative", "token", "trained", "total", "absolute"] = "relative"
    schedule: Text = "constant(1)"
    positions: Text = "all"
    sites: Text | None = None
    weights: Text = "uniform"
    operator: Text = "add"
    branch: Text = "both"
    gate: Text | None = None


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
    steer: Annotated[tuple[Steer, ...], Field(min_length=1)] = Field(
        description="lines such as 'note:C 0.1 fade-in 0..4s', several in one text with ; between them, or their parts"
    )
    compose: Literal["sum", "gram_schmidt", "whiten"] = "sum"
    budget: Positive | None = None
    calibrate: Calibrate | None = None


class Controls(Part):
    """What every condition stands beside."""

    unsteered: bool
    random: Annotated[int, Field(ge=0, le=100)] = Field(description="random directions of each distinct dose")


class Bound(Part):
    """What a metric may change by, against the unsteered run."""

    at_least: float | None = None
    at_most: float | None = None


class Choose(Part):
    """Try all conditions on other material first; only the best goes on, and the test decides nothing."""

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
    """An experiment; what is made, asked and judged is said by each kind."""

    kind: str
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)] = Field(
        description="of the run folder, with an id behind it"
    )
    about: Text = Field(description="what the recipe is for; reports show it beside the recipe")
    seed: Seed = Field(description="of all that is drawn and says no seed of its own")
    model: Model
    directions: Any
    conditions: Any
    controls: Controls
    choose: Choose | None = None
