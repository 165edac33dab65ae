"""Steering compiled to tables: what the engine looks up instead of deciding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mmsteer.errors import SteeringError
from mmsteer.schedules import Timeline
from mmsteer.steering.attribute import Attribute, Steering
from mmsteer.steering.compose import compose
from mmsteer.steering.gate import Threshold
from mmsteer.steering.operators import TARGETED
from mmsteer.types import Feature, LowRank, Positions, Site


@dataclass(frozen=True, eq=False)
class StateDependentEdit:
    """An attribute whose edit must see the hidden state, or differs from token to token.

    Attributes:
        column: Its column in the table.
        name: Of its direction.
        operator: Its name in `OPERATORS`.
        vectors: For each of its sites, by index of the plan's sites, a unit vector, or one for each token.
        scales: What one unit of strength is worth there, by index of the plan's sites.
        token_norm: Whether that is multiplied by the norm that each token has before the edit.
        gates: What opens it there, by index of the plan's sites; empty where nothing gates it.
        features: What is read there instead of the component along the vector; empty for plain directions.
        edits: What is done there instead of pushing along the vector; empty for plain directions.
    """

    column: int
    name: str
    operator: str
    vectors: Mapping[int, Tensor]
    scales: Mapping[int, float]
    token_norm: bool
    gates: Mapping[int, Threshold]
    features: Mapping[int, Feature]
    edits: Mapping[int, LowRank]


@dataclass(frozen=True, eq=False)
class Plan:
    """The whole steering of one call on one stack of layers.

    Attributes:
        sites: The hooked sites, in the order in which the model computes them.
        table: Coefficients, (places or 1, steps, branches * samples, columns) float32. Heads of a layer are one place.
        selections: The positions of each column.
        vectors: What a coefficient of one adds, (sites, columns, widest site) float32; zero for the others, and beyond
            the width of narrower sites.
        others: Attributes that are more than a sum.
        samples: How many samples are told apart; 1 serves any number alike.
        branches: Row groups of a forward.
    """

    sites: tuple[Site, ...]
    table: Tensor
    selections: tuple[Positions, ...]
    vectors: Tensor
    others: tuple[StateDependentEdit, ...]
    samples: int
    branches: int


def planned_sites(steerings: Sequence[Steering], available: Sequence[Site]) -> tuple[Site, ...]:
    """Every site that the steerings write, in the order of the layers.

    Args:
        steerings: One for each sample.
        available: The model's sites.
    """
    written = {site for steering in steerings for item in steering.attributes for site in item.written}
    return tuple(site for site in available if site in written)


def compile_plan(steerings: Sequence[Steering], sites: Sequence[Site], timeline: Timeline, branches: int) -> Plan:
    """Turn schedules, strengths and directions into tables.

    Args:
        steerings: One for each sample, or a single one for all.
        sites: The hooked sites of one stack, in the order of the layers.
        timeline: Steps, rate and the layer of each place, in the order of the sites.
        branches: Row groups of each forward.

    Raises:
        SteeringError: Directions cannot be composed as asked.
    """
    columns, where = _columns(steerings)
    items = [steering.attributes[index] for steering, index in columns]
    widest = max(_width(item, site) for item in items for site in sites if site in item.shares)
    vectors = torch.stack([_column_vectors(steering, index, sites, widest) for steering, index in columns], dim=1)
    table = np.zeros((_places_apart(steerings, timeline), timeline.steps, branches, len(steerings), len(columns)))
    for sample, steering in enumerate(steerings):
        for index, item in enumerate(steering.attributes):
            table[..., sample, where[sample][index]] += _coefficients(item, sites, timeline, branches)
    lengths = torch.tensor([[length(item, site) for item in items] for site in sites]).unsqueeze(-1)
    added = [column for column, item in enumerate(items) if item.operator == "add"]
    place_of_site = [timeline.layers.index(site.layer) if len(table) > 1 else 0 for site in sites]
    _limit(table, vectors * lengths, steerings, sites, place_of_site, added)
    summed = torch.tensor([_is_summed(item) for item in items]).unsqueeze(-1)
    return Plan(
        tuple(sites),
        torch.from_numpy(table).flatten(2, 3).float(),
        tuple(item.positions for item in items),
        vectors * lengths * summed,
        tuple(
            _other(column, item, sites, vectors[:, column]) for column, item in enumerate(items) if not _is_summed(item)
        ),
        len(steerings),
        branches,
    )


def _is_summed(item: Attribute) -> bool:
    """Whether a push is the same for every token and state, so that all such pushes are one sum a layer."""
    return item.operator == "add" and item.unit != "token" and item.gate is None and not _has_no_vector(item)


def _has_no_vector(item: Attribute) -> bool:
    """Whether what it adds at a site is not one vector, the same for every token and state."""
    return bool(item.direction.edits) or any(item.direction.vectors[site].ndim == 2 for site in item.written)


def _columns(steerings: Sequence[Steering]) -> tuple[list[tuple[Steering, int]], list[list[int]]]:
    """The distinct columns, and for each sample the column of each of its attributes."""
    columns: list[tuple[Steering, int]] = []
    known: dict[object, list[int]] = {}
    where = []
    for steering in steerings:
        mine, last = [], 0
        for index, item in enumerate(steering.attributes):
            same = known.setdefault(_key(steering, index), [])
            # Edits that are more than a sum run in the order of the columns, so each sample's own order must be theirs.
            column = next((one for one in same if one >= last or _is_summed(item)), len(columns))
            if column == len(columns):
                same.append(column)
                columns.append((steering, index))
            mine.append(column)
            last = last if _is_summed(item) else column
        where.append(mine)
    return columns, where


def _key(steering: Steering, index: int) -> object:
    """Attributes with the same key share a column: they differ in strength, schedule or branch at most."""
    item = steering.attributes[index]
    target = item.strength if item.operator in TARGETED else None
    mine = (_pushed(item), item.unit, item.positions, item.gate, target)
    if steering.compose == "sum":
        return mine
    return (mine, steering.compose, index, tuple(map(_pushed, steering.attributes)))


def _pushed(item: Attribute) -> object:
    """What an attribute moves and where: all that composing it with others depends on."""
    return id(item.direction), item.sites, item.weights, item.operator


def _column_vectors(steering: Steering, index: int, sites: Sequence[Site], widest: int) -> Tensor:
    """The unit vectors that an added attribute pushes along, (sites, widest); zero for any other, and beyond a site."""
    chosen = steering.attributes[index]
    added = [item for item in steering.attributes if item.operator == "add"]
    _refuse_without_vector(steering, added)
    if chosen.operator != "add" or _has_no_vector(chosen):
        return torch.zeros(len(sites), widest)
    added = [item for item in added if not _has_no_vector(item)]
    row = added.index(chosen)
    return torch.stack([_composed(added, steering.compose, site, widest)[row] for site in sites])


def _composed(added: Sequence[Attribute], how: str, site: Site, widest: int) -> Tensor:
    vectors = [item.direction.vectors[site] if site in item.shares else torch.zeros(widest) for item in added]
    return compose(torch.stack([nn.functional.pad(one, (0, widest - len(one))) for one in vectors]), how)


def _refuse_without_vector(steering: Steering, added: Sequence[Attribute]) -> None:
    # Composing and budgets compare directions, and here there is no one direction to compare with.
    found = next((item.direction.name for item in added if _has_no_vector(item)), None)
    if found and (steering.budget is not None or (steering.compose != "sum" and len(added) > 1)):
        raise SteeringError(
            f"{found!r} has no single vector to add, so it cannot be composed by {steering.compose!r} or held to a "
            "budget; use compose 'sum' without a budget"
        )


def _scale(attribute: Attribute, site: Site) -> float:
    """What a strength of one is worth at a site in its unit, layer weight included; 0 where it does not push."""
    weight = attribute.shares.get(site, 0.0)
    if not weight or attribute.unit in ("token", "absolute"):
        return weight
    stats = attribute.direction.stats[site]
    if attribute.unit == "std":
        return weight * stats.spread
    if attribute.unit == "trained":
        return weight * (stats.length or 0.0)
    return weight * stats.residual_norm * (_share(attribute, site) if attribute.unit == "total" else 1.0)


def _share(attribute: Attribute, site: Site) -> float:
    """The factor at which the pushes of a stack, were they parallel, would sum to the strength at the last of them."""
    weights, stats = attribute.shares, attribute.direction.stats
    pushed = [one for one in weights if one.stack == site.stack]
    return stats[max(pushed)].residual_norm / sum(weights[one] * stats[one].residual_norm for one in pushed)


def length(attribute: Attribute, site: Site) -> float:
    """How long a push of strength one typically is at a site.

    Args:
        attribute: What pushes.
        site: Where; 0 where it does not push.
    """
    typical = (
        attribute.direction.stats[site].residual_norm if attribute.unit == "token" and site in attribute.shares else 1.0
    )
    return typical * _scale(attribute, site)


def _coefficients(item: Attribute, sites: Sequence[Site], timeline: Timeline, branches: int) -> np.ndarray:
    """Strength over time in each branch, (places or 1, steps, branches)."""
    strength = 1.0 if item.operator in TARGETED else item.strength
    values = strength * item.schedule.values(timeline)
    if len(values) > 1:
        # A gate that is open in a layer that only others write steers nothing.
        written = {site.layer for site in sites if site in item.shares}
        values = values * [[layer in written] for layer in timeline.layers]
    steered = [item.branch in ("both", name) for name in ("conditional", "null")[:branches]]
    return values[:, :, None] * np.array(steered, dtype=float)


def _places_apart(steerings: Sequence[Steering], timeline: Timeline) -> int:
    """How many places the table tells apart."""
    schedules = [item.schedule for steering in steerings for item in steering.attributes]
    return max((schedule.values(timeline).shape[0] for schedule in schedules), default=1)


def _limit(
    table: np.ndarray,
    vectors: Tensor,
    steerings: Sequence[Steering],
    sites: Sequence[Site],
    place_of_site: list[int],
    added: list[int],
) -> None:
    """Scale down, in place, the moments at which a sample's added directions exceed its budget at some site.

    All sites by one factor, so that they share the strength as asked.
    """
    pushes = vectors[:, added].double()
    gram = (pushes @ pushes.transpose(1, 2)).numpy()
    for sample, steering in enumerate(steerings):
        if steering.budget is None:
            continue
        coefficients = table[..., sample, added][place_of_site]
        squared = np.einsum("lsba,lac,lsbc->lsb", coefficients, gram, coefficients).clip(min=0)
        norms = np.array([_residual_norm(steering, site) for site in sites])
        ratio = (np.sqrt(squared) / norms[:, None, None]).max(axis=0)
        table[..., sample, added] *= np.minimum(1.0, steering.budget / np.maximum(ratio, 1e-12))[..., None]


def _residual_norm(steering: Steering, site: Site) -> float:
    stats = (item.direction.stats for item in steering.attributes)
    # Where none of its directions has a vector, it pushes nothing.
    return next((one[site].residual_norm for one in stats if site in one), 1.0)


def _other(column: int, item: Attribute, sites: Sequence[Site], composed: Tensor) -> StateDependentEdit:
    mine = {place: site for place, site in enumerate(sites) if site in item.shares}
    factor = item.strength if item.operator in TARGETED else 1.0
    alone = item.operator != "add" or _has_no_vector(item)
    return StateDependentEdit(
        column,
        item.direction.name,
        item.operator,
        {
            place: item.direction.vectors[site] if alone else composed[place, : _width(item, site)]
            for place, site in mine.items()
        },
        {place: factor * _factor(item, site) for place, site in mine.items()},
        item.unit == "token",
        {place: item.gate.at(site) for place, site in mine.items()} if item.gate else {},
        {place: item.direction.features[site] for place, site in mine.items()} if item.direction.features else {},
        {place: item.direction.edits[site] for place, site in mine.items()} if item.direction.edits else {},
    )


def _factor(item: Attribute, site: Site) -> float:
    # What an edit adds has its length already.
    return item.shares[site] if item.direction.edits else _scale(item, site)


def _width(attribute: Attribute, site: Site) -> int:
    return attribute.direction.vectors[site].shape[-1]
