"""Strength over the steps of an output: what makes no curve or pushes nothing, and what is shown of the rest."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmsteer.errors import PositionsError
from mmsteer.schedules import Timeline
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Adapter, Kind, Tokens, check_thoughts

# What the tokens of each stack can be: positions that select none of these would never push anything.
_TEXT = (
    Kind.PROMPT | Kind.FIRST | Kind.TEXT,
    Kind.PROMPT | Kind.IMAGE,
    Kind.PROMPT | Kind.TEXT,
    Kind.PROMPT | Kind.LAST | Kind.TEXT,
)
_MADE = (Kind.GENERATED | Kind.TEXT | Kind.THINKING, Kind.GENERATED | Kind.TEXT | Kind.ANSWER)
_IMAGE = (Kind.IMAGE | Kind.FIRST, Kind.IMAGE)


def check_curve(item: Attribute, adapter: Adapter, steps: int) -> None:
    """Refuse a schedule that makes no curve over the output, or positions that no token of a text model has.

    Raises:
        PositionsError: No token of a stack can be at these positions, or the model does not think.
    """
    check_thoughts(item.positions, adapter.marks)
    strength(item, Timeline(steps, adapter.rate))
    for stack in {site.stack for site in item.written} if adapter.output_kind == "text" else ():
        if not item.positions.mask(_tokens(stack, steps, adapter.sees)).any():
            raise PositionsError(
                f"'{item}': no token of the stack {stack} is ever at '{item.positions}'; nothing would be steered"
            )


def strength_curves(steering: Steering, adapter: Adapter, steps: int) -> dict[str, Any]:
    """The strength of each attribute over the steps of an output, mean over its sites."""
    timeline = Timeline(steps, adapter.rate)
    attributes = [
        {
            "direction": item.direction.name,
            "label": item.direction.name.partition(":")[2],
            "steps": list(range(timeline.steps)),
            "strength": strength(item, timeline).round(6).tolist(),
        }
        for item in steering.attributes
    ]
    return {"attributes": attributes}


def strength(item: Attribute, timeline: Timeline) -> NDArray[np.float64]:
    """The strength of an attribute over the steps of an output, mean over its sites, (steps,)."""
    layers = [site.layer for site in item.written]
    return item.strength * item.schedule.values(replace(timeline, layers=layers)).mean(axis=0)


def _tokens(stack: str, steps: int, sees: bool) -> Tokens:
    if stack != "text":
        return Tokens(torch.tensor([_IMAGE]), torch.zeros(len(_IMAGE), dtype=torch.long))
    given = [kind for kind in _TEXT if sees or not kind & Kind.IMAGE]
    made = _MADE * max(steps - 1, 1)
    return Tokens(torch.tensor([[*given, *made]]), _steps(len(given), len(made)))


def _steps(given: int, made: int) -> torch.Tensor:
    # Each step of the output may be a thought or part of the answer.
    return torch.cat([torch.arange(given) - given + 1, torch.arange(made) // len(_MADE) + 1])
