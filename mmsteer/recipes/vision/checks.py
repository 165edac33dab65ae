"""What can be wrong with a recipe that asks about images, before the model is loaded."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmsteer.document import Place
from mmsteer.errors import MmsteerError
from mmsteer.eval.chair import Chair
from mmsteer.images import read_image
from mmsteer.recipes.plan import Condition
from mmsteer.recipes.problems import Problem
from mmsteer.recipes.schema import FoundDirections, Recipe
from mmsteer.recipes.vision.schema import AmberImages, NoImagePairs, SceneImages

SHOWN = 3
"""Broken images that a message names."""


def problems(recipe: Recipe, conditions: Sequence[Condition]) -> list[Problem]:
    """What is wrong with scenes, AMBER's images, decoding and directions of each image."""
    found = _amber(recipe) + _nouns(recipe) + _own_scenes(recipe)
    return found + _decoding(recipe, conditions) + _per_image(recipe, conditions)


def unreadable(place: Place, pictures: Sequence[Any]) -> Iterator[Problem]:
    """Images that cannot be read, and objects that are none of COCO's.

    Args:
        place: Where the recipe names them.
        pictures: The images.
    """
    broken = [message for one in pictures for message in map(_broken, one.files) if message]
    for message in broken[:SHOWN]:
        yield Problem(place, message)
    if len(broken) > SHOWN:
        yield Problem(place, f"{len(broken) - SHOWN} more images cannot be read")
    try:
        Chair({one.id: one.objects for one in pictures if one.objects is not None and one.amber is None})
    except MmsteerError as cause:
        yield Problem(place, str(cause))


def _broken(path: Path) -> str | None:
    try:
        read_image(path)
    except MmsteerError as cause:
        return str(cause)
    return None


def _amber(recipe: Recipe) -> list[Problem]:
    """Descriptions that would be judged in two ways."""
    found = []
    if recipe.choose and isinstance(recipe.data, AmberImages) != isinstance(recipe.choose.data, AmberImages):
        message = (
            "AMBER judges descriptions by words of its own; take the images and those to choose on both from AMBER"
        )
        found.append(Problem(("choose", "data"), message))
    said = recipe.ask and recipe.ask.caption
    if isinstance(recipe.data, AmberImages) and said and said.compat != "fixed":
        found.append(
            Problem(("ask", "caption", "compat"), "this is a mode of CHAIR, and AMBER has one alone; write fixed")
        )
    return found


def _nouns(recipe: Recipe) -> list[Problem]:
    """Words that are judged although the truth does not speak of them."""
    said = recipe.ask and recipe.ask.caption
    sources = (recipe.data, recipe.choose.data if recipe.choose else recipe.data)
    if not said or said.nouns == "coco" or all(isinstance(one, SceneImages) for one in sources):
        return []
    message = "only of rendered scenes is it known that nothing else is there; write coco, or take scenes"
    return [Problem(("ask", "caption", "nouns"), message)]


def _own_scenes(recipe: Recipe) -> list[Problem]:
    """Directions that would be found in what they are judged on."""
    if not isinstance(recipe.data, SceneImages):
        return []
    test = (recipe.data.scenes.split, recipe.data.scenes.seed)
    found = []
    for at, entry in enumerate(recipe.directions):
        data = entry.data if isinstance(entry, FoundDirections) else None
        scenes = getattr(getattr(data, "demos", data), "scenes", None)
        if scenes is not None and (scenes.split, scenes.seed) == test:
            place: Place = ("directions", at, "data")
            found.append(Problem(place, "these are the test's own scenes; take those of the split demos"))
    return found


def _per_image(recipe: Recipe, conditions: Sequence[Condition]) -> list[Problem]:
    """Directions of each picture where rows are no pictures, or in the place of what no picture has."""
    blind = {
        entry.family
        for entry in recipe.directions
        if isinstance(entry, FoundDirections) and isinstance(entry.data, NoImagePairs)
    }
    found: dict[Place, Problem] = {}
    for condition in conditions:
        for message in _per_image_problems(recipe, condition, blind) if condition.own["per_image"] else ():
            place = (*condition.place, "per_image")
            found.setdefault(place, Problem(place, message))
    return list(found.values())


def _per_image_problems(recipe: Recipe, condition: Condition, blind: Collection[str]) -> Iterator[str]:
    if recipe.ask and recipe.ask.pope:
        yield "captions are steered so, and answers are not; leave out ask.pope"
    if condition.kl is not None:
        yield "what each picture's direction moves is not measured; leave out calibrate"
    for line in condition.lines:
        if line.split(":")[0].strip('"') not in blind:
            yield f"{line!r}: a picture takes the place of directions of `contrast: no_image`, found in this recipe"


def _decoding(recipe: Recipe, conditions: Sequence[Condition]) -> list[Problem]:
    found: dict[Place, Problem] = {}
    for condition in conditions:
        for name, options in condition.own["decode"].items():
            place = (*condition.place, "decode", name)
            tell = _verify_problems if name == "verify" else _decode_problems
            for message in tell(recipe, options):
                found.setdefault(place, Problem(place, message))
    return list(found.values())


def _verify_problems(recipe: Recipe, options: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(options["least"], str | bool):
        yield f"least is {options['least']!r}, which is no number"
    if recipe.ask is None or recipe.ask.caption is None:
        yield "objects are left out of captions; ask for captions"


def _decode_problems(recipe: Recipe, options: Mapping[str, Any]) -> Iterator[str]:
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
    if recipe.ask and recipe.ask.pope and recipe.ask.pope.answer == "logits":
        yield "contrastive decoding chooses among written words; ask pope for `answer: text`"
