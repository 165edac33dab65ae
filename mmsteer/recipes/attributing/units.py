"""What the outputs of a recipe are attributed to, and which models and recipes have such units."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmsteer.attribution import ComponentUnits, FrameUnits, TokenUnits, Units, VectorUnits, check_parts, check_states
from mmsteer.attribution.baselines import check_stack
from mmsteer.attribution.units import entrance
from mmsteer.document import Place
from mmsteer.recipes.attributing.schema import Attributed
from mmsteer.recipes.plan import Condition
from mmsteer.recipes.problems import Problem, complaints
from mmsteer.recipes.schema import Recipe
from mmsteer.steering import Steering
from mmsteer.types import Direction, Positions

AT = {"tokens": "prompt - first", "patches": "image", "frames": "generated", "components": "all - first"}
"""The usual positions of units."""
FOREIGN = {
    ("tokens", "music"): "the prompt of a clip does not enter the stack that makes it; take frames",
    ("patches", "text"): "patches are of images, which kind: image alone sees; take tokens",
    ("patches", "music"): "patches are of images, which kind: image alone sees; take frames",
    ("frames", "text"): "frames are of clips, which kind: music alone makes; take tokens",
    ("frames", "image"): "frames are of clips, which kind: music alone makes; take patches",
}


def units_of(how: Attributed, steering: Steering) -> Units:
    """The units of one output.

    Args:
        how: What the recipe says.
        steering: What was applied to the output.
    """
    if how.units == "vectors":
        return VectorUnits(steering)
    positions, baseline = Positions(how.at or AT[how.units]), how.baseline or "mean"
    if how.units == "components":
        return ComponentUnits(str(how.sites), baseline, positions)
    return (FrameUnits if how.units == "frames" else TokenUnits)(positions, baseline)


def can_be_attributed(own: Mapping[str, Any]) -> bool:
    """Whether what a condition does is a steering, the same for every example.

    Args:
        own: What it is beside its steering.
    """
    return not own["decode"] and not own["per_image"]


def problems(recipe: Recipe, conditions: Sequence[Condition]) -> Iterator[Problem]:
    """What is wrong with the attribution of a recipe, before its model is loaded.

    Args:
        recipe: The recipe.
        conditions: Of all its sweeps.
    """
    how = recipe.attribution
    if how is None:
        return
    place: Place = ("attribution",)
    if message := FOREIGN.get((how.units, recipe.kind)):
        yield Problem((*place, "units"), message)
    if how.words and recipe.kind == "music":
        yield Problem((*place, "words"), "a clip has no words; leave them out")
    captions = recipe.ask.caption if recipe.ask else None
    if how.mentions and not captions:
        yield Problem((*place, "mentions"), "objects are named in captions alone; ask for captions, or give words")
    if recipe.ask and not captions:
        yield Problem(place, "captions are attributed, and answers to questions are not; ask for captions")
    if not any(can_be_attributed(one.own) for one in conditions):
        yield Problem(place, "no condition steers all images alike, so none can be attributed; leave this out")
    if how.at:
        yield from (Problem((*place, "at"), message) for message in complaints(Positions, how.at))
    are_states = how.units != "vectors"
    yield from (
        Problem((*place, "technique"), message) for message in complaints(check_states, how.technique, are_states)
    )
    # How many components there are, the model knows; of the others a sample may have any number.
    count = 1 if how.units in ("components", "vectors") else None
    yield from (Problem((*place, "technique"), message) for message in complaints(check_parts, how.technique, count))


def check_units(how: Attributed, adapter: Any) -> None:
    """Refuse components that the model does not have, or that are too many, and tokens that cannot be taken away.

    Args:
        how: What the recipe says.
        adapter: The model.

    Raises:
        AttributionError: There are such units.
    """
    if how.units == "components":
        sites = ComponentUnits(str(how.sites)).chosen(adapter)
        check_stack(adapter, sites)
        check_parts(how.technique, len(sites))
    elif how.units != "vectors":
        entrance(adapter)


def check_condition(how: Attributed, condition: Condition, names: Mapping[str, Direction]) -> None:
    """Refuse vectors that are no plain additions.

    Args:
        how: What the recipe says.
        condition: One of its conditions.
        names: The directions.

    Raises:
        AttributionError: A condition has one.
    """
    if how.units == "vectors" and can_be_attributed(condition.own):
        VectorUnits(condition.steering(names))
