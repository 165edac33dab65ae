"""The steering of a control: the same doses along other directions."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from mmsteer.steering import Attribute, Steering
from mmsteer.types import Direction, random_direction

Controlled = Mapping[str, Direction]
"""For the name of each direction, what stands for it in a control."""


def dose(steering: Steering) -> str:
    """All that a random control takes over from a steering: two of equal dose share their controls.

    Where layers are weighed by a probe's scores, the direction itself is part of the dose.
    """
    parts = [_dose(item) for item in steering.attributes]
    return json.dumps([parts, steering.compose, steering.budget])


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
    rest = {field.name: str(getattr(item, field.name)) for field in fields(item) if field.name != "direction"}
    norms = {str(site): round(stats.residual_norm, 6) for site, stats in item.direction.stats.items()}
    return rest | {"norms": norms, "weighed": None if item.weights == "uniform" else item.direction.name}
