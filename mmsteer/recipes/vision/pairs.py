"""The pairs that directions are found in: labelled samples of the rendered world or of a file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsteer.data import contrasts
from mmsteer.data.contrasts import Contrast, Demo
from mmsteer.errors import DataError
from mmsteer.recipes.vision.own_mentions import own_mentions
from mmsteer.recipes.vision.schema import (
    CounterfactualPairs,
    FileDemos,
    MaskedPairs,
    NoImagePairs,
    Pairs,
    SceneDemos,
    Scenes,
)
from mmsteer.recipes.vision.sensitivity import sensitivity
from mmsteer.tasks import Labelled
from mmsteer.worlds.scenes import Scene, split_scenes
from mmsteer.worlds.scenes import contrasts as scenes

if TYPE_CHECKING:
    from mmsteer.adapters import LanguageModelAdapter


def labels_of(data: Pairs) -> tuple[str, ...]:
    """The one side that pairs point to."""
    return ("yes",)


def check(data: Pairs) -> None:
    """Refuse demonstrations that cannot be read."""
    demos = getattr(data, "demos", None)
    if isinstance(demos, FileDemos):
        _demos(demos, 0)


def samples_of(data: Pairs, adapter: Any) -> Labelled:
    """Samples of both sides; the model says how large a patch of its tower is."""
    made = MAKERS[data.contrast](data, adapter)
    averaged = isinstance(data, MaskedPairs) and data.averaged
    return Labelled(made.samples, made.labels, made.groups, averaged, "binary")


def _scenes(some: Scenes) -> tuple[Scene, ...]:
    return split_scenes(some.split, some.n, some.seed, cluttered=some.cluttered, detailed=some.detailed)


def _demos(demos: SceneDemos | FileDemos, seed: int) -> tuple[Demo, ...]:
    if isinstance(demos, FileDemos):
        return contrasts.read_demos(Path(demos.file), Path(demos.images))
    return scenes.scene_demos(_scenes(demos.scenes), seed, matched=demos.matched)


def _counterfactual(data: CounterfactualPairs) -> Contrast:
    pairs = scenes.counterfactual(_scenes(data.scenes), data.seed, decision=data.decision)
    return pairs if data.shown == "own" else contrasts.wrong_image(pairs, data.seed)


def _masked(data: MaskedPairs, adapter: "LanguageModelAdapter") -> Contrast:
    side, patch = _grid(adapter)
    samples = contrasts.image_samples(_demos(data.demos, data.seed))
    return contrasts.masked(samples, data.seed, side=side, patch=patch, copies=data.copies, ratio=data.ratio)


def _no_image(data: NoImagePairs) -> Contrast:
    demos = _demos(data.demos, data.seed)
    if not data.answered:
        return contrasts.no_image(contrasts.image_samples(demos))
    return contrasts.no_image([demo.sample("true", demo.careful) for demo in demos])


def _grid(adapter: "LanguageModelAdapter") -> tuple[int, int]:
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


MAKERS: "Mapping[str, Callable[[Any, LanguageModelAdapter], Contrast]]" = {
    "captions": lambda data, _: contrasts.captions(_demos(data.demos, data.seed), ending=data.ending),
    "counterfactual": lambda data, _: _counterfactual(data),
    "mentions": lambda data, _: scenes.mentions(_scenes(data.scenes), data.seed),
    "answers": lambda data, _: scenes.answers(_scenes(data.scenes), data.seed, balanced=data.balanced),
    "masked": _masked,
    "no_image": lambda data, _: _no_image(data),
    "own_mentions": lambda data, adapter: own_mentions(adapter, data),
    "sensitivity": lambda data, adapter: sensitivity(adapter, data),
    "language_prior": lambda data, _: contrasts.language_prior(_demos(data.demos, data.seed), data.refusal),
}
