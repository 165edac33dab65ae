"""What a recipe may say of attribution."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mmsteer.probes.bounds import Count
from mmsteer.recipes.part import Part, Text
from mmsteer.recipes.rows.schema import Batch


class Attributed(Part):
    """What outputs come from: asked of the first ones, which the report draws, once all are there."""

    units: Literal["tokens", "patches", "frames", "components", "vectors"] = Field(
        description="what an output is attributed to; vectors: the additions of a condition, of its own outputs alone"
    )
    technique: Literal[
        "occlusion", "shapley", "exact-shapley", "saliency", "gradient", "integrated-gradients", "lime"
    ] = Field(default="integrated-gradients", description="how it is shared out")
    samples: Annotated[int, Field(ge=1, le=4)] = Field(
        default=2, description="outputs of each steered condition, with the unsteered ones of the same examples"
    )
    words: Text | None = Field(
        default=None,
        description="the number is the log-probability of these words, in the first outputs that have them; usual: of "
        "the whole output",
    )
    mentions: Literal["hallucinated", "right"] | None = Field(
        default=None,
        description="with ask.caption: it is that of the words by which a caption first names an object that is not "
        "in the image, or one that is",
    )
    sites: Text | None = Field(default=None, description="components: such as text.*.mlp, text.*.attention")
    baseline: Literal["zero", "mean"] | None = Field(
        default=None, description="what stands in the place of a unit; usual: mean"
    )
    at: Text | None = Field(
        default=None,
        description="at which tokens; usual: all but the first, of patches image, of frames generated",
    )
    steps: Count = Field(default=64, description="of the path of integrated gradients")
    draws: Count = Field(default=64, description="of shapley and lime")
    batch: Batch = Field(default=8, description="rows a forward")

    @model_validator(mode="after")
    def _one_number(self) -> "Attributed":
        if self.words and self.mentions:
            raise ValueError("the number is of words or of mentions; give one of the two")
        if (self.sites is not None) != (self.units == "components"):
            raise ValueError("sites say which components there are; components need them, and other units have none")
        if self.units == "vectors" and (self.baseline or self.at):
            raise ValueError("vectors are applied or not; leave out baseline and at")
        return self
