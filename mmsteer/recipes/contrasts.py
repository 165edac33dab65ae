"""What directions are found in: labelled samples by the form of an entry's data, and what controls find theirs in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from mmsteer.data import contrasts
from mmsteer.errors import RecipeError
from mmsteer.recipes.music import data as clips
from mmsteer.recipes.music.schema import ConceptData, SynTheoryData
from mmsteer.recipes.rows import data as rows
from mmsteer.recipes.rows.schema import LabelledRows, RewardedOutputs, SystemPairs
from mmsteer.recipes.vision import pairs
from mmsteer.tasks import Labelled
from mmsteer.types import Adapter
from mmsteer.workers import Held

CONTROLS = ("shuffled", "wrong_image")
"""The controls that are found as a direction is, in data that should not lead to it."""
FORMS: Mapping[type, ModuleType] = {
    LabelledRows: rows,
    SystemPairs: rows,
    RewardedOutputs: rows,
    ConceptData: clips,
    SynTheoryData: clips,
}
"""Where each form of data is made into samples; what is not here are pairs of images."""


def labels_of(data: Any) -> tuple[str, ...]:
    """The labels of directions, before they are found."""
    found: tuple[str, ...] = _form(data).labels_of(data)
    return found


def check_data(data: Any) -> None:
    """Refuse what no direction can be found in."""
    _form(data).check(data)


def pools_of(data: Any) -> tuple[str, ...]:
    """How states may be pooled for a probe."""
    return ("mean", "last", "max", "tokens") if _form(data) is pairs else ("mean", "last", "max")


def check_model(data: Any, adapter: Adapter) -> None:
    """Refuse a model that cannot read these samples.

    Raises:
        RecipeError: It makes no music, or sees no images.
    """
    if _form(data) is clips and adapter.output_kind != "audio":
        raise RecipeError("this model makes no music; rendered clips need a MusicGen model")
    if _form(data) is pairs and not adapter.sees:
        raise RecipeError("this model sees no images; pairs of images need one that does")


def samples_of(
    data: Any, adapter: Adapter, control: str | None = None, seed: int = 0, split: int | None = None
) -> Labelled:
    """Labelled samples.

    `data`: Where directions are found.
    `control`: `shuffled` for the same samples with their labels shuffled; `wrong_image` for the same words with the
    images of other groups, where samples without any image stay as they are.
    `seed`: seed of the exchange.
    `split`: seed of the split by source that a probe makes; see `Labelled.shuffled`.
    """
    check_model(data, adapter)
    found: Labelled = _form(data).samples_of(data, adapter)
    if control == "shuffled":
        return found.shuffled(seed, split)
    if control == "wrong_image" and any(sample.images for sample in found.samples):
        shown = contrasts.Contrast("the samples", found.samples, found.labels, found.groups)
        return replace(found, samples=contrasts.wrong_image(shown, seed).samples)
    return found


@dataclass(frozen=True, eq=False)
class LabelledSamples:
    """`samples_of` as a piece of work: the model may have to answer prompts for them.

    Attributes:
        data: Where directions are found.
        control: As for `samples_of`.
        seed: As for `samples_of`.
        split: As for `samples_of`.
    """

    data: Any
    control: str | None
    seed: int
    split: int

    def do(self, held: Held) -> Labelled:
        """The samples."""
        return samples_of(self.data, held.adapter, self.control, self.seed, self.split)

    def __str__(self) -> str:
        return "samples that directions are found in"


def _form(data: Any) -> ModuleType:
    return FORMS.get(type(data), pairs)
