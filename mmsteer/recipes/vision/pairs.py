"""The pairs that directions are found in: labelled samples of the rendered world or of a file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmsteer.adapters import LanguageModelAdapter
from mmsteer.data import contrasts
from mmsteer.data.contrasts import Contrast, Demo
from mmsteer.errors import DataError, RecipeError
from mmsteer.recipes.vision.schema import (
    AnswerPairs,
    CaptionPairs,
    CounterfactualPairs,
    FileDemos,
    LanguagePriorPairs,
    MaskedPairs,
    MentionPairs,
    NoImagePairs,
    Pairs,
    SceneDemos,
    Scenes,
)
from mmsteer.tasks import Labelled
from mmsteer.worlds.scenes import Scene, split_scenes
from mmsteer.worlds.scenes import contrasts as scene_contrasts


def labels_of(data: Pairs) -> tuple[str, ...]:
    """The one side that pairs point to."""
    return ("yes",)


def check(data: Pairs) -> None:
    """Refuse demonstrations that cannot be read."""
    demos = getattr(data, "demos", None)
    if isinstance(demos, FileDemos):
        _demos(demos, 0)


def samples_of(data: Pairs, adapter: Any) -> Labelled:
    """Samples of both sides.

    Args:
        data: Which pairs.
        adapter: The model, whose vision tower says how large a patch is.

    Raises:
        RecipeError: It sees no images.
    """
    if not getattr(adapter, "sees", False):
        raise RecipeError("this model sees no images; pairs of images need one that does")
    made = MAKERS[data.contrast](data, adapter)
    averaged = isinstance(data, MaskedPairs) and data.averaged
    return Labelled(made.samples, made.labels, made.groups, averaged, "binary")


def _scenes(scenes: Scenes) -> tuple[Scene, ...]:
    return split_scenes(scenes.split, scenes.n, scenes.seed)


def _demos(demos: SceneDemos | FileDemos, seed: int) -> tuple[Demo, ...]:
    if isinstance(demos, FileDemos):
        return contrasts.read_demos(Path(demos.file), Path(demos.images))
    return scene_contrasts.scene_demos(_scenes(demos.scenes), seed, matched=demos.matched)


def _captions(data: CaptionPairs, adapter: LanguageModelAdapter) -> Contrast:
    return contrasts.captions(_demos(data.demos, data.seed), ending=data.ending)


def _counterfactual(data: CounterfactualPairs, adapter: LanguageModelAdapter) -> Contrast:
    return scene_contrasts.counterfactual(_scenes(data.scenes), data.seed, decision=data.decision)


def _mentions(data: MentionPairs, adapter: LanguageModelAdapter) -> Contrast:
    return scene_contrasts.mentions(_scenes(data.scenes), data.seed)


def _answers(data: AnswerPairs, adapter: LanguageModelAdapter) -> Contrast:
    return scene_contrasts.answers(_scenes(data.scenes), data.seed, balanced=data.balanced)


def _masked(data: MaskedPairs, adapter: LanguageModelAdapter) -> Contrast:
    side, patch = _grid(adapter)
    samples = contrasts.image_samples(_demos(data.demos, data.seed))
    return contrasts.masked(samples, data.seed, side=side, patch=patch, copies=data.copies, ratio=data.ratio)


def _no_image(data: NoImagePairs, adapter: LanguageModelAdapter) -> Contrast:
    demos = _demos(data.demos, data.seed)
    if not data.answered:
        return contrasts.no_image(contrasts.image_samples(demos))
    return contrasts.no_image([demo.sample("true", demo.careful) for demo in demos])


def _language_prior(data: LanguagePriorPairs, adapter: LanguageModelAdapter) -> Contrast:
    return contrasts.language_prior(_demos(data.demos, data.seed), data.refusal)


def _grid(adapter: LanguageModelAdapter) -> tuple[int, int]:
    """Side of the image that the tower sees and of its patches, in pixels.

    Raises:
        DataError: The tower sees images of any size.
    """
    config = adapter.model.config.vision_config
    sizes = [getattr(config, name, None) for name in ("image_size", "patch_size")]
    side, patch = (one[0] if isinstance(one, list | tuple) else one for one in sizes)
    if side is None or patch is None:
        raise DataError("this model's vision tower sees images of any size, so there is no grid of patches to mask")
    return int(side), int(patch)


MAKERS: Mapping[str, Callable[[Any, LanguageModelAdapter], Contrast]] = {
    "captions": _captions,
    "counterfactual": _counterfactual,
    "mentions": _mentions,
    "answers": _answers,
    "masked": _masked,
    "no_image": _no_image,
    "language_prior": _language_prior,
}
