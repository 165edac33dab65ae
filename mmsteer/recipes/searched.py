"""Random directions that are searched as hard as conditions: tried wherever one was, and chosen by the same rule."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmsteer.recipes.choosing import choose
from mmsteer.recipes.controls import randomised
from mmsteer.recipes.plan import NOTHING, SEARCHED, Condition, Planned
from mmsteer.recipes.schema import Choose, Recipe
from mmsteer.types import Direction

_BEHIND = 100
"""Draws of random directions that stand beside conditions at their own dose; those that are searched are others."""


def drafts(
    recipe: Recipe, conditions: Sequence[Condition], directions: Mapping[str, Direction]
) -> list[tuple[Condition, ...]]:
    """For each draw the conditions along random directions, one for every direction that any of them uses.

    Left out is what cannot be steered along another direction: conditions without one, or with each picture's own.

    Args:
        recipe: It says how many draws there are.
        conditions: All that are tried.
        directions: What their lines name.
    """
    some = [one for one in conditions if one.steering(directions).attributes and not one.own["per_image"]]
    steerings = [one.steering(directions) for one in some]
    return [
        tuple(
            replace(one, name=f"random {draw} as {one.name}", given=given, own={**NOTHING, "target": one.own["target"]})
            for one, given in zip(some, randomised(steerings, recipe.seed + _BEHIND + draw), strict=True)
        )
        for draw in range(1, recipe.controls.searched + 1)
    ]


def searched(
    rule: Choose,
    chosen: Sequence[Condition],
    drawn: Sequence[Sequence[Condition]],
    scores: Mapping[str, Any],
    doses: Mapping[str, Mapping[str, float | None]],
) -> dict[str, tuple[Planned, ...]]:
    """For the name of each chosen condition the best of every draw of random directions.

    Args:
        rule: What is chosen by.
        chosen: The conditions that it chose.
        drawn: The candidates of each draw.
        scores: Of them all, as in `scores.json`.
        doses: Of them all, as in `doses.json`.
    """
    best = [{one["condition"] for one in choose(rule, some, scores)} for some in drawn]
    return {
        condition.name: tuple(_controls(rule, condition, at, drawn, best, doses)) for at, condition in enumerate(chosen)
    }


def _controls(
    rule: Choose,
    condition: Condition,
    at: int,
    drawn: Sequence[Sequence[Condition]],
    best: Sequence[set[str]],
    doses: Mapping[str, Mapping[str, float | None]],
) -> Iterator[Planned]:
    for draw, (some, names) in enumerate(zip(drawn, best, strict=True), start=1):
        for one in some:
            if one.name in names and (rule.of == "all" or one.place == condition.place):
                assert one.given is not None
                # What was calibrated on the other material is applied as it was found there.
                factor = doses.get(one.name, {}).get("factor")
                steering = one.given if factor is None else one.given.scaled(factor)
                name = f"searched {draw} as {condition.name}"
                yield Planned(name, SEARCHED, f"{SEARCHED}-{at:03d}-{draw}", steering, NOTHING)
