"""Everything that a run generates: the unsteered control, the conditions, and the random controls."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsteer.recipes.checks import steering_of
from mmsteer.recipes.directions import dose, randomised
from mmsteer.recipes.expand import Condition
from mmsteer.recipes.schema import MusicRecipe
from mmsteer.steering import Steering
from mmsteer.types import Direction

UNSTEERED = "unsteered"


@dataclass(frozen=True, eq=False)
class Planned:
    """One row of clips to generate.

    Attributes:
        name: Its name, of which there is no other in the run.
        kind: `unsteered`, `steered` or `random`.
        folder: Its folder under `audio`.
        steering: What is applied, before any calibration.
        condition: The recipe's condition; of a random control the one whose calibration it shares.
        controls: Names of the random controls that a steered condition stands beside.
    """

    name: str
    kind: str
    folder: str
    steering: Steering
    condition: Condition | None = None
    controls: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """An item of `conditions.json`."""
        own = self.condition if self.kind == "steered" else None
        return {
            "name": self.name,
            "kind": self.kind,
            "folder": self.folder,
            "values": dict(own.values) if own else {},
            "steering": [str(item) for item in self.steering.attributes],
            "target": dict(own.target) if own else {},
            "controls": list(self.controls),
        }


def plan_run(
    recipe: MusicRecipe, conditions: Sequence[Condition], directions: Mapping[str, Direction]
) -> tuple[Planned, ...]:
    """All rows, in the order in which they are generated.

    A random direction knows nothing of the concept that it stands beside, so conditions of equal dose (strengths,
    schedules, places, layer weights) share their random controls: twelve notes at one strength need one, not twelve.

    Args:
        recipe: The recipe.
        conditions: Its conditions.
        directions: What they name.
    """
    first = [Planned(UNSTEERED, "unsteered", "unsteered", Steering())] if recipe.controls.unsteered else []
    shared: dict[str, tuple[Planned, ...]] = {}
    steered: list[Planned] = []
    for at, condition in enumerate(conditions):
        steering = steering_of(condition, directions)
        # A calibrated strength is the condition's own.
        key = dose(steering) if condition.kl is None else condition.name
        if key not in shared:
            shared[key] = _controls(recipe, condition, steering, len(shared))
        names = tuple(one.name for one in shared[key])
        steered.append(Planned(condition.name, "steered", _folder(at, condition.name), steering, condition, names))
    return (*first, *steered, *(control for controls in shared.values() for control in controls))


def _controls(recipe: MusicRecipe, condition: Condition, steering: Steering, dose_index: int) -> tuple[Planned, ...]:
    return tuple(
        Planned(
            f"random {draw} as {condition.name}",
            "random",
            f"random-{dose_index:03d}-{draw}",
            randomised(steering, recipe.seed + draw),
            condition,
        )
        for draw in range(1, recipe.controls.random + 1)
    )


def _folder(index: int, name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name.replace("#", "s")).strip("-.")[:60]
    return f"{index:03d}-{plain}"
