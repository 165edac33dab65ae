"""Steering a feature in all the layers through which it flows: a list of attributes for the engine.

Source: Laptev et al. 2025, arXiv:2502.03032, section 5.
"""

import math
from collections.abc import Callable, Iterable, Mapping

from mmsteer.errors import SteeringError
from mmsteer.sae import SparseDictionary, Usage, feature_direction
from mmsteer.sae.flow import Flow, Node
from mmsteer.steering import Attribute
from mmsteer.types import Direction, Positions, Site

LayerSchedule = Callable[[int, int, int], float]
"""A strength from a layer, the first layer of the flow and its last."""


def constant(strength: float) -> LayerSchedule:
    """The same strength in every layer."""
    return lambda layer, first, last: strength


def exponential(strength: float, rate: float = -0.05) -> LayerSchedule:
    """Decaying as s exp(a l), with l the number of the layer in the model, as the paper writes it."""
    return lambda layer, first, last: strength * math.exp(rate * layer)


def linear(strength: float, end: float = 1.0) -> LayerSchedule:
    """From one strength in the first layer of the flow to another in its last; a flow of one layer has the first."""
    return lambda layer, first, last: strength + (end - strength) * (layer - first) / max(last - first, 1)


def flow_directions(
    flow: Flow, dictionaries: Iterable[SparseDictionary], used: Mapping[Site, Usage]
) -> dict[Node, Direction]:
    """The features of a flow as directions that the engine reads and writes, `flow:SITE:FEATURE`.

    `dictionaries`: those it was found in, with thresholds.
    `used`: what `usage` counted at each site.

    Raises:
        SteeringError: A site of the flow has no dictionary or no usage.
        DictionaryError: A dictionary cannot be steered; `feature_direction` says why.
    """
    known = {one.site: one for one in dictionaries}
    missing = sorted({node.site for node in flow.nodes if node.site not in known or node.site not in used})
    if missing:
        raise SteeringError(f"the flow of {flow.start} passes {missing[0]}, of which no dictionary or usage was given")
    return {
        node: feature_direction(known[node.site], node.feature, used[node.site], f"flow:{node}")
        for node in sorted(flow.nodes)
    }


def activate(
    directions: Mapping[Node, Direction],
    schedule: LayerSchedule,
    *,
    unit: str = "relative",
    positions: Positions = Positions("all"),
) -> tuple[Attribute, ...]:
    """Add every feature of a flow, h + sum s(l) d: at all its layers what one layer alone would need more of.

    Args:
        directions: What `flow_directions` gave, or a part of it.
        schedule: Strength in each layer, in the unit.
        unit: `relative`, a share of each site's typical norm, or `absolute`, a length: the paper's s.
        positions: Which tokens.

    Raises:
        SteeringError: There is nothing to steer, or the unit is unknown.
    """
    return _attributes(directions, schedule, lambda s: s, "add", unit, positions)


def deactivate(
    directions: Mapping[Node, Direction], schedule: LayerSchedule, *, positions: Positions = Positions("all")
) -> tuple[Attribute, ...]:
    """Multiply every feature of a flow by r(l): 0 removes it, a number below zero reverses it.

    Only what is active is moved, h + (r - 1) z d: tokens in which a feature is silent stay bit for bit.

    Args:
        directions: What `flow_directions` gave, or a part of it.
        schedule: r in each layer.
        positions: Which tokens.

    Raises:
        SteeringError: There is nothing to steer.
    """
    return _attributes(directions, schedule, lambda r: 1 - r, "project_out", "absolute", positions)


def _attributes(
    directions: Mapping[Node, Direction],
    schedule: LayerSchedule,
    strength: Callable[[float], float],
    operator: str,
    unit: str,
    positions: Positions,
) -> tuple[Attribute, ...]:
    if not directions:
        raise SteeringError("a flow without features steers nothing; give at least one")
    layers = [node.site.layer for node in directions]
    first, last = min(layers), max(layers)
    return tuple(
        Attribute(
            direction,
            strength(schedule(node.site.layer, first, last)),
            operator=operator,
            unit=unit,
            positions=positions,
        )
        for node, direction in directions.items()
    )
