"""Recipes of the kind vision, before the model is loaded."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmsteer.adapters import LanguageModelAdapter
from mmsteer.data.contrasts import wrong_image
from mmsteer.document import Place
from mmsteer.errors import MmsteerError, RecipeError
from mmsteer.eval.chair import Chair
from mmsteer.probes import TargetKind
from mmsteer.recipes.expand import Condition
from mmsteer.recipes.loading import place_of
from mmsteer.recipes.problems import Problem
from mmsteer.recipes.vision import pairs
from mmsteer.recipes.vision import scoring as measures
from mmsteer.recipes.vision.amber import files_of
from mmsteer.recipes.vision.pictures import Picture, pictures_of
from mmsteer.recipes.vision.schema import (
    AmberImages,
    FileDemos,
    Images,
    MaskedPairs,
    SceneImages,
    VisionDirections,
    VisionRecipe,
)
from mmsteer.recipes.vision.task import VisionTask
from mmsteer.tasks import Labelled

SCHEMA: Any = VisionRecipe
ENTRY: Any = VisionDirections
SOURCE = "images"
OWN: Mapping[str, Any] = VisionTask.OWN
TARGET_KIND: TargetKind = "binary"
POOLS: tuple[str, ...] = ("mean", "last", "max", "tokens")
CONTROLS: tuple[str, ...] = ("wrong_image",)
PATHS = {"coco": ("folder", "ids"), "folder": ("images", "objects"), "amber": ("folder", "images")}
"""For each source of images the keys that name files and folders."""
SHOWN = 3
"""Broken images that a message names."""


def located(recipe: VisionRecipe, home: Path) -> VisionRecipe:
    """The recipe with whole paths; what lies beside the recipe goes first, then what lies here.

    Args:
        recipe: The recipe.
        home: The folder that it lies in.
    """
    return VisionRecipe.model_validate(_mapped(recipe, lambda path: str(place_of(path, home))))


def labels(entry: VisionDirections) -> tuple[str, ...]:
    """The one side that pairs point to.

    Args:
        entry: The entry.
    """
    return ("yes",)


def check_entry(entry: VisionDirections) -> None:
    """Refuse pairs that cannot be made.

    Args:
        entry: The entry.
    """
    pairs.check(entry.data)


def samples(entry: VisionDirections, adapter: Any, control: str | None = None, seed: int = 0) -> Labelled:
    """The pairs of an entry.

    Args:
        entry: The entry.
        adapter: The model.
        control: `wrong_image` for the same words with the images of other pairs; pairs without any image stay.
        seed: Seed of the exchange.
    """
    contrast = pairs.pairs_of(entry.data, _seeing(adapter))
    seen = any(sample.images for sample in contrast.samples)
    contrast = wrong_image(contrast, seed) if control and seen else contrast
    averaged = isinstance(entry.data, MaskedPairs) and entry.data.averaged
    return Labelled(contrast.samples, contrast.labels, contrast.groups, averaged)


def problems(recipe: VisionRecipe, conditions: Sequence[Condition]) -> list[Problem]:
    """What is wrong with images, their truth, questions and decoding.

    Args:
        recipe: The recipe.
        conditions: Its conditions.
    """
    found: list[Problem] = []
    names: list[set[str]] = []
    for place, images in _sources(recipe):
        try:
            pictures = pictures_of(recipe, images)
            found += _pictures(place, pictures)
            names.append({picture.name for picture in pictures})
        except MmsteerError as cause:
            found.append(Problem(place, str(cause)))
    both = sorted(set.intersection(*names)) if len(names) > 1 else []
    if both:
        message = f"{len(both)} images, such as {both[0]}, are among the test's images too; the test may choose nothing"
        found.append(Problem(("choose", "images"), message))
    return found + _amber(recipe) + _own_scenes(recipe) + _decoding(recipe, conditions)


def metric_names(recipe: VisionRecipe, conditions: Sequence[Condition]) -> tuple[str, ...]:
    """The metrics of captions and of POPE's splits.

    Args:
        recipe: The recipe.
        conditions: Its conditions.
    """
    return tuple(measures.metrics_of(recipe))


def identity(recipe: VisionRecipe) -> dict[str, Any]:
    """The recipe as plain data in which digests stand for the names of files and folders.

    Args:
        recipe: The recipe.
    """
    found = _mapped(recipe, lambda path: "")
    pictures = [picture for _, images in _sources(recipe) for picture in pictures_of(recipe, images)]
    shown = [picture for picture in pictures if isinstance(picture.source, Path)]
    found["content"] = {
        "images": _digest(picture.source.read_bytes() for picture in shown),  # type: ignore[union-attr]
        "objects": _digest(repr((one.name, sorted(one.objects or ()), one.questions)).encode() for one in shown),
        "files": [_digest([file.read_bytes()]) for file in files(recipe)],
    }
    return found


def files(recipe: VisionRecipe) -> tuple[Path, ...]:
    """The question files, demonstrations and AMBER's annotations.

    Args:
        recipe: The recipe.
    """
    asked = recipe.ask.pope.files.values() if recipe.ask.pope else ()
    data = [entry.data for entry in recipe.directions if isinstance(entry, VisionDirections)]
    demos = [getattr(one, "demos", None) for one in data]
    told = [file for _, one in _sources(recipe) if isinstance(one, AmberImages) for file in files_of(one.amber)]
    return (*map(Path, (*asked, *(one.file for one in demos if isinstance(one, FileDemos)))), *dict.fromkeys(told))


def task(recipe: VisionRecipe, adapter: Any, source: Images) -> VisionTask:
    """Pictures to be described and asked about.

    Args:
        recipe: The recipe.
        adapter: The model.
        source: The recipe's own images, or those that conditions are tried on.
    """
    return VisionTask(recipe, _seeing(adapter), pictures_of(recipe, source))


def _seeing(adapter: Any) -> LanguageModelAdapter:
    """The adapter, refused where its model sees nothing.

    Raises:
        RecipeError: It does not.
    """
    if not isinstance(adapter, LanguageModelAdapter) or not any(site.stack == "vision" for site in adapter.sites):
        raise RecipeError("this model sees no images; recipes of `kind: vision` and contrasts need one that does")
    return adapter


def _sources(recipe: VisionRecipe) -> list[tuple[Place, Images]]:
    found: list[tuple[Place, Images]] = [(("images",), recipe.images)]
    return found + ([(("choose", "images"), recipe.choose.images)] if recipe.choose else [])


def _mapped(recipe: VisionRecipe, path: Callable[[str], str]) -> dict[str, Any]:
    """The recipe as plain data, with every path of its data replaced."""
    data = recipe.model_dump()
    for images in [data["images"], *([data["choose"]["images"]] if data["choose"] else [])]:
        for part, keys in PATHS.items():
            _replace(images.get(part) or {}, keys, path)
    pope = data["ask"]["pope"] or {}
    _replace(pope, ("images",), path)
    _replace(pope.get("files", {}), tuple(pope.get("files", {})), path)
    for entry in data["directions"]:
        _replace((entry.get("data") or {}).get("demos") or {}, ("file", "images"), path)
    return data


def _replace(part: dict[str, Any], keys: Sequence[str], path: Callable[[str], str]) -> None:
    part |= {key: path(part[key]) for key in keys if part.get(key) is not None}


def _pictures(place: Place, pictures: Sequence[Picture]) -> Iterator[Problem]:
    """Images that cannot be read, and objects that are none of COCO's."""
    broken = [message for message in map(_unreadable, pictures) if message]
    for message in broken[:SHOWN]:
        yield Problem(place, message)
    if len(broken) > SHOWN:
        yield Problem(place, f"{len(broken) - SHOWN} more images cannot be read")
    try:
        Chair({one.name: one.objects for one in pictures if one.objects is not None and one.amber is None})
    except MmsteerError as cause:
        yield Problem(place, str(cause))


def _unreadable(picture: Picture) -> str | None:
    if not isinstance(picture.source, Path):
        return None
    try:
        picture.image()
    except MmsteerError as cause:
        return str(cause)
    return None


def _amber(recipe: VisionRecipe) -> list[Problem]:
    """Descriptions that would be judged in two ways."""
    found = []
    if len({isinstance(images, AmberImages) for _, images in _sources(recipe)}) > 1:
        message = (
            "AMBER judges descriptions by words of its own; take the images and those to choose on both from AMBER"
        )
        found.append(Problem(("choose", "images"), message))
    said = recipe.ask.caption
    if isinstance(recipe.images, AmberImages) and said and said.compat != "fixed":
        found.append(
            Problem(("ask", "caption", "compat"), "this is a mode of CHAIR, and AMBER has one alone; write fixed")
        )
    return found


def _own_scenes(recipe: VisionRecipe) -> list[Problem]:
    """Directions that would be found in what they are judged on."""
    if not isinstance(recipe.images, SceneImages):
        return []
    test = (recipe.images.scenes.split, recipe.images.scenes.seed)
    found = []
    for at, entry in enumerate(recipe.directions):
        data = entry.data if isinstance(entry, VisionDirections) else None
        scenes = getattr(getattr(data, "demos", data), "scenes", None)
        if scenes is not None and (scenes.split, scenes.seed) == test:
            place: Place = ("directions", at, "data")
            found.append(Problem(place, "these are the test's own scenes; take those of the split demos"))
    return found


def _decoding(recipe: VisionRecipe, conditions: Sequence[Condition]) -> list[Problem]:
    found: dict[Place, Problem] = {}
    for condition in conditions:
        for name, options in condition.own["decode"].items():
            place = (*condition.place, "decode", name)
            for message in _decode_problems(recipe, options):
                found.setdefault(place, Problem(place, message))
    return list(found.values())


def _decode_problems(recipe: VisionRecipe, options: Mapping[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        if key != "prefix" and (isinstance(value, str | bool)):
            yield f"{key} is {value!r}, which is no number"
    strength, cutoff, step = options["strength"], options["cutoff"], options.get("step", 0)
    if not isinstance(strength, str) and strength < 0:
        yield f"the strength {strength} is below 0"
    if not isinstance(cutoff, str) and not 0 <= cutoff <= 1:
        yield f"the cutoff {cutoff} is not within 0 and 1"
    if not isinstance(step, int) or not 0 <= step < 1000:
        yield f"there is no step {step} of diffusion; choose from 0 to 999"
    if recipe.ask.pope and recipe.ask.pope.answer == "logits":
        yield "contrastive decoding chooses among written words; ask pope for `answer: text`"


def _digest(parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
