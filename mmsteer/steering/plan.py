"""Steering compiled to tables: what the engine looks up instead of deciding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmsteer.errors import SteeringError
from mmsteer.schedules import Timeline
from mmsteer.steering.attribute import Attribute, Steering
from mmsteer.steering.compose import compose
from mmsteer.steering.weights import layer_weights
from mmsteer.types import Direction, Positions, Site, select_sites


@dataclass(frozen=True, eq=False)
class Other:
    """An attribute whose operator must see the hidden state.

    Attributes:
        column: Its column in the table.
        operator: Its name in `OPERATORS`.
        vectors: A unit vector for each of its sites, by index of the plan's sites.
        scales: What one unit of strength is worth there, by index of the plan's sites.
    """

    column: int
    operator: str
    vectors: Mapping[int, Tensor]
    scales: Mapping[int, float]


@dataclass(frozen=True, eq=False)
class Plan:
    """The whole steering of one call on one stack of layers.

    Attributes:
        sites: The hooked sites, in the order of the layers.
        table: Coefficients, (layers or 1, steps, branches * samples, columns) float32.
        selections: The positions of each column.
        vectors: What a coefficient of one adds, (layers, columns, width) float32; zero for other operators.
        others: Attributes that do not add.
        samples: How many samples are told apart; 1 serves any number alike.
        branches: Row groups of a forward.
    """

    sites: tuple[Site, ...]
    table: Tensor
    selections: tuple[Positions, ...]
    vectors: Tensor
    others: tuple[Other, ...]
    samples: int
    branches: int


def planned_sites(steerings: Sequence[Steering], available: Sequence[Site]) -> tuple[Site, ...]:
    """Every site that the steerings write, in the order of the layers.

    Args:
        steerings: One for each sample.
        available: The model's sites.
    """
    written = {site for steering in steerings for item in steering.attributes for site in attribute_sites(item)}
    return tuple(site for site in available if site in written)


def attribute_sites(attribute: Attribute) -> tuple[Site, ...]:
    """The sites an attribute writes: those of its direction that it selects.

    Args:
        attribute: The attribute.
    """
    sites = attribute.direction.sites
    return select_sites(attribute.sites, sites) if attribute.sites else sites


def compile_plan(steerings: Sequence[Steering], sites: Sequence[Site], timeline: Timeline, branches: int) -> Plan:
    """Turn schedules, strengths and directions into tables.

    Args:
        steerings: One for each sample, or a single one for all.
        sites: The hooked sites of one stack, in the order of the layers.
        timeline: Steps, rate and number of sites.
        branches: Row groups of each forward.

    Raises:
        SteeringError: Directions cannot be composed as asked.
    """
    columns, where = _columns(steerings)
    vectors = torch.stack([_column_vectors(steering, index, sites) for steering, index in columns], dim=1)
    table = np.zeros((_gated(steerings, timeline), timeline.steps, branches, len(steerings), len(columns)))
    for sample, steering in enumerate(steerings):
        for index, item in enumerate(steering.attributes):
            table[..., sample, where[sample][index]] += _coefficients(item, timeline, branches)
    added = [column for column, (steering, index) in enumerate(columns) if steering.attributes[index].operator == "add"]
    _limit(table, vectors, steerings, sites, added)
    kept = torch.zeros(len(columns))
    kept[added] = 1.0
    return Plan(
        tuple(sites),
        torch.from_numpy(table).flatten(2, 3).float(),
        tuple(steering.attributes[index].positions for steering, index in columns),
        vectors * kept[:, None],
        tuple(_other(column, *columns[column], sites) for column in range(len(columns)) if column not in added),
        len(steerings),
        branches,
    )


def _columns(steerings: Sequence[Steering]) -> tuple[list[tuple[Steering, int]], list[list[int]]]:
    """The distinct columns, and for each sample the column of each of its attributes."""
    columns: list[tuple[Steering, int]] = []
    known: dict[object, int] = {}
    where = []
    for steering in steerings:
        mine = []
        for index in range(len(steering.attributes)):
            key = _key(steering, index)
            if key not in known:
                known[key] = len(columns)
                columns.append((steering, index))
            mine.append(known[key])
        where.append(mine)
    return columns, where


def _key(steering: Steering, index: int) -> object:
    """Attributes with the same key share a column: they differ in strength, schedule or branch at most."""
    item = steering.attributes[index]
    target = item.strength if item.operator == "clamp" else None
    mine = (id(item.direction), item.sites, item.weights, item.operator, item.unit, item.positions, target)
    if steering.compose == "sum":
        return mine
    return (mine, steering.compose, index, tuple(id(other.direction) for other in steering.attributes))


def _column_vectors(steering: Steering, index: int, sites: Sequence[Site]) -> Tensor:
    """What a coefficient of one adds at each site, (layers, width)."""
    added = [item for item in steering.attributes if item.operator == "add"]
    chosen = steering.attributes[index]
    if chosen not in added:
        return torch.zeros(len(sites), _width(chosen))
    row = added.index(chosen)
    return torch.stack([_composed(added, steering.compose, site)[row] * _scale(chosen, site) for site in sites])


def _composed(added: Sequence[Attribute], how: str, site: Site) -> Tensor:
    vectors = [
        item.direction.vectors[site] if site in attribute_sites(item) else torch.zeros(_width(item)) for item in added
    ]
    return compose(torch.stack(vectors), how)


def _scale(attribute: Attribute, site: Site) -> float:
    """The length of a push of strength one at a site, layer weight included; 0 where it does not push."""
    if site not in attribute_sites(attribute):
        return 0.0
    unit = attribute.direction.stats[site].residual_norm if attribute.unit == "relative" else 1.0
    return layer_weights(attribute.weights, attribute.direction)[site] * unit


def _coefficients(item: Attribute, timeline: Timeline, branches: int) -> np.ndarray:
    """Strength over time in each branch, (layers or 1, steps, branches)."""
    strength = 1.0 if item.operator == "clamp" else item.strength
    values = strength * item.schedule.values(timeline)
    steered = [item.branch in ("both", name) for name in ("conditional", "null")[:branches]]
    return values[:, :, None] * np.array(steered, dtype=float)


def _gated(steerings: Sequence[Steering], timeline: Timeline) -> int:
    """How many layers the table tells apart."""
    schedules = [item.schedule for steering in steerings for item in steering.attributes]
    return max((schedule.values(timeline).shape[0] for schedule in schedules), default=1)


def _limit(
    table: np.ndarray, vectors: Tensor, steerings: Sequence[Steering], sites: Sequence[Site], added: list[int]
) -> None:
    """Scale down, in place, the moments at which a sample's added directions exceed its budget at some site."""
    norms = torch.tensor([_residual_norm(steerings, site) for site in sites], dtype=torch.float64)
    pushes = vectors[:, added].double() / norms[:, None, None]
    gram = (pushes @ pushes.transpose(1, 2)).numpy()
    for sample, steering in enumerate(steerings):
        if steering.budget is None:
            continue
        coefficients = table[..., sample, added]
        squared = np.einsum("gsba,lac,gsbc->lgsb", coefficients, gram, coefficients).clip(min=0)
        ratio = np.sqrt(squared.max(axis=0))
        table[..., sample, added] *= np.minimum(1.0, steering.budget / np.maximum(ratio, 1e-12))[..., None]


def _residual_norm(steerings: Sequence[Steering], site: Site) -> float:
    for steering in steerings:
        for item in steering.attributes:
            if site in item.direction.stats:
                return item.direction.stats[site].residual_norm
    raise SteeringError(f"no attribute writes {site}")


def _other(column: int, steering: Steering, index: int, sites: Sequence[Site]) -> Other:
    item = steering.attributes[index]
    mine = {place: site for place, site in enumerate(sites) if site in attribute_sites(item)}
    factor = item.strength if item.operator == "clamp" else 1.0
    return Other(
        column,
        item.operator,
        {place: item.direction.vectors[site] for place, site in mine.items()},
        {place: factor * _scale(item, site) for place, site in mine.items()},
    )


def _width(attribute: Attribute) -> int:
    direction: Direction = attribute.direction
    return len(direction.vectors[direction.sites[0]])
