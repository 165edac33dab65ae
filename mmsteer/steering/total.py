"""What pushes at several sites add up to, and the strength that makes them add up to what is asked."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from mmsteer.steering.attribute import PUSHES, Attribute, Steering
from mmsteer.steering.plan import length
from mmsteer.types import APART, Site


@dataclass(frozen=True)
class Total:
    """What an attribute's pushes in one stack add up to, at a schedule of 1.

    Attributes:
        attribute: The attribute as a line.
        sites: How many are pushed.
        last: The last of them; of heads, whose outputs are no sum, `all of these heads`, of inputs of MLPs alike.
        ratio: Norm of the sum of the pushes, over the typical norm at the last site. The angles between the sites'
            vectors count; what the layers between make of a push does not. Of heads the norm of all pushes side by
            side, over that of all typical states side by side.
    """

    attribute: str
    sites: int
    last: str
    ratio: float

    def __str__(self) -> str:
        return f"{self.attribute}: the pushes at {self.sites} sites add up to {self.ratio:.1%} at {self.last}"


def totals(steerings: Iterable[Steering]) -> tuple[Total, ...]:
    """What every push at more than one site of a stack adds up to, of those whose typical norms are known.

    Args:
        steerings: One for each sample.
    """
    items = {
        str(item): item
        for steering in steerings
        for item in steering.attributes
        if item.operator in PUSHES and item.direction.is_measured
    }
    return tuple(
        _total(line, item, sites) for line, item in items.items() for sites in _pushed(item).values() if len(sites) > 1
    )


def _pushed(item: Attribute) -> Mapping[tuple[str, str], list[Site]]:
    """The sites that are pushed, of each stack those whose pushes add up."""
    found: dict[tuple[str, str], list[Site]] = {}
    for site in item.written:
        if length(item, site):
            found.setdefault((site.stack, site.point if site.point in APART else ""), []).append(site)
    return found


def _total(line: str, item: Attribute, sites: list[Site]) -> Total:
    if sites[0].point in APART:
        return _side_by_side(line, item, sites)
    pushes = [item.strength * length(item, site) * item.direction.vectors[site] for site in sites]
    # Where tokens have vectors of their own, the mean over tokens.
    summed = torch.linalg.vector_norm(torch.stack(pushes).sum(dim=0), dim=-1).mean()
    return Total(line, len(sites), str(sites[-1]), float(summed) / item.direction.stats[sites[-1]].residual_norm)


def _side_by_side(line: str, item: Attribute, sites: list[Site]) -> Total:
    pushes = math.hypot(*(item.strength * length(item, site) for site in sites))
    norms = math.hypot(*(item.direction.stats[site].residual_norm for site in sites))
    what = "heads" if sites[0].point == "head" else "inputs of MLPs"
    return Total(line, len(sites), f"all of these {what}", pushes / norms)
