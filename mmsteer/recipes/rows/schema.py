"""What a recipe on rows of one's own may say."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from mmsteer.recipes.schema import (
    Choose,
    Conditions,
    Controls,
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


class Rows(Part):
    """Rows of a file of JSON lines, or of a folder that has a folder for each label."""

    files: Text = Field(description="the file or folder, beside the recipe")
    split: Text | None = Field(default=None, description="only rows of this part")
    n: Count | None = Field(default=None, description="at most so many, the first ones")


class RowsGenerate(Part):
    """How outputs are sampled; what is left out is as usual for the model."""

    tokens: Count | None = Field(default=None, description="text: at most so many tokens")
    seconds: Positive | None = Field(default=None, description="audio: duration")
    temperature: Annotated[float, Field(ge=0)] = Field(description="0 takes the likeliest token")
    top_k: Annotated[int, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    guidance: Annotated[float, Field(ge=1)] | None = None
    beams: Count | None = None
    batch: Annotated[int, Field(ge=1, le=4096)] = Field(description="rows that run together")

    @model_validator(mode="after")
    def _one_length(self) -> "RowsGenerate":
        if (self.tokens is None) == (self.seconds is None):
            raise ValueError("give the length of an output as tokens or as seconds, one of the two")
        return self


class LabelledRows(Rows):
    """Rows with labels: their answers or audio are read."""


class SystemPairs(Part):
    """The same prompts answered by the model itself under system prompts, and read without them."""

    prompts: Rows
    systems: Annotated[dict[Text, Text], Field(min_length=2)] = Field(
        description="for each label its system prompt, such as {pirate: Talk like a pirate., plain: Answer briefly.}"
    )
    generate: RowsGenerate
    seed: Seed


class RewardedOutputs(Part):
    """The model's own outputs: those that earn a reward (yes) against the others (no)."""

    prompts: Rows
    reward: Text = Field(description="such as contains:Arr or not refusal")
    samples: Count = Field(description="outputs of each prompt")
    generate: RowsGenerate
    seed: Seed


def _source(data: object) -> str:
    return "(systems)" if has(data, "systems") else "(reward)" if has(data, "reward") else "(rows)"


class RowsDirections(FoundDirections):
    """Directions that the run finds in rows, or in the model's own outputs."""

    data: Annotated[
        Annotated[LabelledRows, Tag("(rows)")]
        | Annotated[SystemPairs, Tag("(systems)")]
        | Annotated[RewardedOutputs, Tag("(reward)")],
        Discriminator(_source),
    ]


Directions = Annotated[
    Annotated[FileDirections, Tag("(file)")] | Annotated[RowsDirections, Tag("(found)")],
    Discriminator(lambda item: "(file)" if has(item, "file") else "(found)"),
]


class RowsControls(Controls):
    """What every condition stands beside."""

    shuffled: bool = Field(default=False, description="the directions found again with the labels shuffled")


class RowsChoose(Choose):
    """The rows on which conditions are tried."""

    data: Rows


class RowsRecipe(Recipe):
    """An experiment on rows of one's own."""

    kind: Literal["text", "image", "music"]
    directions: tuple[Directions, ...]
    data: Rows
    generate: RowsGenerate
    score: Annotated[dict[Text, Text], Field(min_length=1)] = Field(
        description="for the name of each metric what it measures; text: rewards such as contains:Arr or refusal, "
        "and length, blank, surprise, options; audio: targets such as note:C or instrument:flute, and voiced"
    )
    conditions: Annotated[tuple[Conditions, ...], Field(min_length=1)]
    controls: RowsControls
    choose: RowsChoose | None = None
