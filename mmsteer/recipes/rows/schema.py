"""Rows of one's own in a recipe: what is generated from, and what directions are found in."""

from typing import Annotated

from pydantic import Field, model_validator

from mmsteer.probes.bounds import Count, Seed
from mmsteer.recipes.part import Part, PathText, Text

Batch = Annotated[int, Field(ge=1, le=4096)]


class Rows(Part):
    """Rows of a file of JSON lines, or of a folder that has a folder for each label."""

    files: PathText = Field(description="the file or folder, beside the recipe")
    split: Text | None = Field(default=None, description="only rows of this part")
    n: Count | None = Field(default=None, description="at most so many, the first ones")


class Generate(Part):
    """How outputs are sampled; what is left out is as usual for the model."""

    tokens: Count | None = Field(default=None, description="text: at most so many tokens")
    seconds: Annotated[float, Field(gt=0, le=86_400)] | None = Field(default=None, description="audio: duration")
    temperature: Annotated[float, Field(ge=0, le=1000)] = Field(description="0 takes the likeliest token")
    top_k: Annotated[int, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    guidance: Annotated[float, Field(ge=1, le=1000)] | None = None
    beams: Count | None = None
    batch: Batch = Field(description="rows that run together")

    @model_validator(mode="after")
    def _one_length(self) -> "Generate":
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
    generate: Generate
    seed: Seed


class RewardedOutputs(Part):
    """The model's own outputs: those that earn a reward (yes) against the others (no)."""

    prompts: Rows
    reward: Text = Field(description="such as contains:Arr or not refusal")
    samples: Count = Field(description="outputs of each prompt")
    generate: Generate
    seed: Seed
