"""Everything that a run generates: the unsteered control, the conditions, and the controls beside each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsteer.document import Place
from mmsteer.recipes.controls import Controlled, dose, randomised, replaced
from mmsteer.recipes.part import Value
from mmsteer.steering import Steering, parse_attribute
from mmsteer.types import Direction

UNSTEERED = "unsteered"
"""The name of the plain model, which is a row like any condition."""
SEARCHED = "searched"
"""The kind of controls along random directions that were chosen as the condition was."""
NOTHING: Mapping[str, Any] = {"target": {}, "decode": {}, "per_image": None}
"""What a condition is beside its steering: the target of its sound, contrastive decoding in its place, and in whose
picture its directions are found."""


@dataclass(frozen=True)
class Condition:
    """One thing that is done to the model.

    Attributes:
        name: Its name, of which there is no other.
        values: The variables of its sweep.
        lines: What is steered, a line for each attribute; none for the unsteered control.
        compose: How the attributes meet.
        budget: Most that they may add together, as a fraction of the residual norm.
        kl: Divergence to which the strengths are calibrated, in nats; None where they stay as they are.
        own: What it is beside its steering; the keys of `NOTHING`.
        place: Where the recipe says so.
        given: What is applied, where that is given in the place of lines.
    """

    name: str
    values: Mapping[str, Value] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    compose: str = "sum"
    budget: float | None = None
    kl: float | None = None
    own: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    place: Place = ()
    given: Steering | None = None

    def steering(self, directions: Mapping[str, Direction]) -> Steering:
        """What is applied, along the directions that the lines name."""
        if self.given is not None:
            return self.given
        attributes = tuple(parse_attribute(line, directions) for line in self.lines)
        return Steering(attributes, self.compose, self.budget)


@dataclass(frozen=True, eq=False)
class Planned:
    """One row of things to generate.

    Attributes:
        name: Its name, of which there is no other in the run.
        kind: `unsteered`, `steered`, `random`, or another kind of control.
        folder: Its folder, where its files have one.
        steering: What is applied, before any calibration.
        own: What it is beside its steering; the keys of `NOTHING`.
        condition: The recipe's condition; of a control the one whose calibration it shares.
        controls: Of a steered condition, for each kind of control the names that it stands beside.
    """

    name: str
    kind: str
    folder: str
    steering: Steering
    own: Mapping[str, Any]
    condition: Condition | None = None
    controls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """An item of `conditions.json`."""
        return {
            "name": self.name,
            "kind": self.kind,
            "folder": self.folder,
            "values": dict(self.condition.values) if self.condition and self.kind == "steered" else {},
            "steering": [str(item) for item in self.steering.attributes],
            **self.own,
            "controls": [name for names in self.controls.values() for name in names],
        }


@dataclass(frozen=True, eq=False)
class Planner:
    """What stands beside each condition.

    Attributes:
        unsteered: Whether the plain model runs too.
        random: Random directions of each distinct dose.
        others: For each other kind of control its directions.
        seed: Seed of the random directions.
        searched: For the name of each condition the controls that were chosen as it was.
    """

    unsteered: bool
    random: int
    others: Mapping[str, Controlled]
    seed: int
    searched: Mapping[str, tuple[Planned, ...]] = field(default_factory=dict)

    def plan(self, conditions: Sequence[Condition], directions: Mapping[str, Direction]) -> tuple[Planned, ...]:
        """All rows, in the order in which they are generated.

        A random direction knows nothing of the concept that it stands beside, so conditions of equal dose (strengths,
        schedules, places, layer weights) share their random controls: twelve notes at one strength need one, not
        twelve.
        """
        first = [Planned(UNSTEERED, UNSTEERED, UNSTEERED, Steering(), NOTHING)] if self.unsteered else []
        shared: dict[str, tuple[Planned, ...]] = {}
        steered: list[Planned] = []
        mine: list[Planned] = []
        for at, condition in enumerate(conditions):
            steering = condition.steering(directions)
            # A calibrated strength is the condition's own.
            key = dose(steering) if condition.kl is None else condition.name
            if key not in shared:
                shared[key] = self._random(condition, steering, len(shared))
            kinds = [kind for kind in self.others if steering.attributes or kind in _elsewhere(condition)]
            others = [self._other(kind, condition, steering, at) for kind in kinds]
            searched = self.searched.get(condition.name, ())
            mine += [*others, *searched]
            controls = {"random": tuple(one.name for one in shared[key])} | {one.kind: (one.name,) for one in others}
            controls |= {SEARCHED: tuple(one.name for one in searched)} if searched else {}
            folder = _folder(at, condition.name)
            steered.append(Planned(condition.name, "steered", folder, steering, condition.own, condition, controls))
        return (*first, *steered, *(control for controls in shared.values() for control in controls), *mine)

    def _random(self, condition: Condition, steering: Steering, dose_index: int) -> tuple[Planned, ...]:
        return tuple(
            Planned(
                f"random {draw} as {condition.name}",
                "random",
                f"random-{dose_index:03d}-{draw}",
                randomised([steering], self.seed + draw)[0],
                NOTHING,
                condition,
            )
            for draw in range(1, self.random + 1)
            if steering.attributes
        )

    def _other(self, kind: str, condition: Condition, steering: Steering, at: int) -> Planned:
        name = f"{kind.replace('_', ' ')} as {condition.name}"
        folder = f"{kind.replace('_', '-')}-{at:03d}"
        own = _elsewhere(condition).get(kind, NOTHING)
        return Planned(name, kind, folder, replaced(steering, self.others[kind]), own, condition)


def _elsewhere(condition: Condition) -> dict[str, Mapping[str, Any]]:
    """What a condition is as a control of some kind, where it is more than its steering.

    `condition`: verified captions are asked about the next image, and each image's own direction is the next one's.
    """
    if condition.own["per_image"] == "own":
        return {"wrong_image": {**condition.own, "per_image": "next"}}
    verify = condition.own["decode"].get("verify")
    if verify is None or verify["image"] == "next":
        return {}
    return {"wrong_image": {**condition.own, "decode": {"verify": verify | {"image": "next"}}}}


def _folder(index: int, name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name.replace("#", "s")).strip("-.")[:60]
    return f"{index:03d}-{plain}"
