"""The steering of a control: the same doses along other directions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from mmsteer.steering import Attribute, Steering
from mmsteer.steering.attribute import PUSHES
from mmsteer.types import Direction, content_digest, random_direction

Controlled = Mapping[str, Direction]
"""For the name of each direction, what stands for it in a control."""
SIZES = {"std": "spread", "trained": "length"}
"""What units that are no share of the norm are as long as."""


def dose(steering: Steering) -> str:
    """All that a random control takes over from a steering, as a digest: two of equal dose share their controls.

    The size of the unit is part of it, and so are a probe's scores where layers are weighed by them, and a dictionary's
    feature where what it reads decides what is pushed.
    """
    return content_digest([*map(_dose, steering.attributes), steering.compose, steering.budget])


def randomised(steerings: Sequence[Steering], seed: int) -> list[Steering]:
    """The same steerings along random directions of the same norm, one for each direction that any of them uses."""
    known: dict[str, int] = {}

    def random(direction: Direction) -> Direction:
        # One direction that is used twice, as in a cross-fade with itself, stays one direction.
        place = known.setdefault(direction.name, len(known))
        return random_direction(direction, seed * 1000 + place)

    return [_along(one, random) for one in steerings]


def replaced(steering: Steering, others: Controlled) -> Steering:
    """The same steering along other directions of the same names; what has none stays."""
    return _along(steering, lambda direction: others.get(direction.name, direction))


def _along(steering: Steering, other: Callable[[Direction], Direction]) -> Steering:
    attributes = tuple(replace(item, direction=other(item.direction)) for item in steering.attributes)
    return replace(steering, attributes=attributes)


def _dose(item: Attribute) -> dict[str, Any]:
    rest = {field.name: getattr(item, field.name) for field in fields(item) if field.name != "direction"}
    stats = item.direction.stats
    rest["norms"] = {site: round(one.residual_norm, 6) for site, one in stats.items()}
    if item.unit in SIZES:
        rest["sizes"] = {site: getattr(one, SIZES[item.unit]) for site, one in stats.items()}
    if item.weights != "uniform":
        rest["scores"] = {site: one.score for site, one in stats.items()}
    if item.operator not in PUSHES:
        rest["features"] = item.direction.features
    return rest
