"""Directions: found by a probe in recorded clips, or read from files, and made random for the control."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from mmsteer.adapters import MusicgenAdapter
from mmsteer.probes import RFM, MeanDifference, Probe, Ranges, Setting, Sweep, sweep
from mmsteer.recipes.data import clips_of
from mmsteer.recipes.schema import FoundDirections, RfmProbe
from mmsteer.recipes.schema import MeanDifferenceProbe as MeanDifferencePart
from mmsteer.record import record
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Positions, random_direction, select_sites


@dataclass(frozen=True, eq=False)
class Found:
    """What one entry of a recipe's directions led to.

    Attributes:
        sweep: Scores and directions.
        table: The scores as plain JSON, an item of `probe.json`.
    """

    sweep: Sweep
    table: Mapping[str, Any]


def find_directions(
    adapter: MusicgenAdapter, entry: FoundDirections, folder: Path | None = None, *, progress: bool = False
) -> Found:
    """Record clips and fit a probe at every site.

    Args:
        adapter: The model.
        entry: Clips, sites and probe; the probe's settings, not its name.
        folder: Where recordings are kept while they are needed, by content; None for memory.
        progress: Show a bar.
    """
    clips = clips_of(entry.data, adapter.sample_rate, told=entry.text == "prompt")
    activations = record(
        adapter,
        clips.samples,
        select_sites(entry.sites, adapter.sites),
        positions=Positions(entry.positions),
        pool=entry.pool,
        folder=folder,
        progress=progress,
    )
    found = sweep(
        build_probe(entry.probe),
        activations,
        clips.labels,
        family=entry.family,
        task="multiclass",
        groups=clips.groups,
        progress=progress,
    )
    rows = [{"site": str(row.site), "score": row.score, "labels": dict(row.labels)} for row in found.rows]
    labels = [name.split(":", 1)[1] for name in found.directions]
    table = {
        "family": entry.family,
        "probe": entry.probe if isinstance(entry.probe, str) else entry.probe.name,
        "metric": found.rows[0].metric,
        "labels": labels,
        "rows": rows,
    }
    return Found(found, table)


def recording_key(entry: FoundDirections) -> str:
    """A name for what is recorded for an entry; entries that differ in their probe alone share it.

    Args:
        entry: The entry.
    """
    read = entry.model_dump(exclude={"probe", "family"})
    return json.dumps(read, sort_keys=True)


def build_probe(probe: Any) -> Probe:
    """The probe of a recipe's settings.

    Args:
        probe: A part of a recipe.
    """
    if isinstance(probe, MeanDifferencePart):
        return MeanDifference(seed=probe.seed)
    assert isinstance(probe, RfmProbe)
    ranges = Ranges(probe.ranges.bandwidth, probe.ranges.exponent, probe.ranges.ridge, probe.ranges.centre)
    settings = tuple(Setting(**one.model_dump()) for one in probe.settings)
    return RFM(probe.draws, probe.iterations, ranges, settings, probe.unit, probe.seed)


def dose(steering: Steering) -> str:
    """All that a random control takes over from a steering: two of equal dose share their controls.

    Where layers are weighed by a probe's scores, the direction itself is part of the dose.

    Args:
        steering: What is applied.
    """
    parts = [_dose(item) for item in steering.attributes]
    return json.dumps([parts, steering.compose, steering.budget])


def randomised(steering: Steering, seed: int) -> Steering:
    """The same steering along random directions of the same norm.

    Args:
        steering: What is applied.
        seed: Seed of the draw.
    """
    known: dict[str, int] = {}
    attributes = []
    for item in steering.attributes:
        # One direction that is used twice, as in a cross-fade with itself, stays one direction.
        place = known.setdefault(item.direction.name, len(known))
        attributes.append(replace(item, direction=random_direction(item.direction, seed * 1000 + place)))
    return replace(steering, attributes=tuple(attributes))


def _dose(item: Attribute) -> dict[str, Any]:
    rest = {field.name: str(getattr(item, field.name)) for field in fields(item) if field.name != "direction"}
    norms = {str(site): round(stats.residual_norm, 6) for site, stats in item.direction.stats.items()}
    return rest | {"norms": norms, "weighed": None if item.weights == "uniform" else item.direction.name}
