"""Labelled samples → directions: record, and fit a probe at every site."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsteer.probes import PCA, RFM, VTI, MeanDifference, Probe, Ranges, Setting, Sweep, Task, sweep
from mmsteer.recipes.schema import FoundDirections, MeanDifferenceProbe, PcaProbe, RfmProbe, VtiProbe
from mmsteer.record import record
from mmsteer.types import Adapter, Direction, Positions, Sample, select_sites


@dataclass(frozen=True, eq=False)
class Labelled:
    """Samples with their classes and sources.

    Attributes:
        samples: What is read.
        labels: The class of each.
        groups: The source of each; no source is on both sides of a split.
    """

    samples: tuple[Sample, ...]
    labels: tuple[Any, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Found:
    """What one entry of a recipe's directions led to.

    Attributes:
        directions: The directions by name.
        table: The scores as plain JSON, an item of `probe.json`.
    """

    directions: Mapping[str, Direction]
    table: Mapping[str, Any]


def find(
    adapter: Adapter,
    entry: FoundDirections,
    data: Labelled,
    task: Task,
    folder: Path | None = None,
    *,
    progress: bool = False,
) -> Found:
    """Record samples and fit a probe at every site.

    Args:
        adapter: The model.
        entry: Sites, positions and probe; the probe's settings, not its name.
        data: What is read.
        task: What kind of question the labels answer.
        folder: Where recordings are kept while they are needed, by content; None for memory.
        progress: Show a bar.
    """
    activations = record(
        adapter,
        data.samples,
        select_sites(entry.sites, adapter.sites),
        positions=Positions(entry.positions),
        pool=entry.pool,
        folder=folder,
        progress=progress,
    )
    found = sweep(
        build_probe(entry.probe),
        activations,
        data.labels,
        family=entry.family,
        task=task,
        groups=data.groups,
        progress=progress,
    )
    return Found(found.directions, _table(entry, found))


def _table(entry: FoundDirections, found: Sweep) -> dict[str, Any]:
    rows = [{"site": str(row.site), "score": row.score, "labels": dict(row.labels)} for row in found.rows]
    return {
        "family": entry.family,
        "probe": entry.probe if isinstance(entry.probe, str) else entry.probe.name,
        "metric": found.rows[0].metric,
        "labels": [name.split(":", 1)[1] for name in found.directions],
        "rows": rows,
    }


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
    if isinstance(probe, MeanDifferenceProbe):
        return MeanDifference(seed=probe.seed)
    if isinstance(probe, PcaProbe):
        return PCA(seed=probe.seed)
    if isinstance(probe, VtiProbe):
        return VTI(probe.mode, probe.seed)
    assert isinstance(probe, RfmProbe)
    ranges = Ranges(probe.ranges.bandwidth, probe.ranges.exponent, probe.ranges.ridge, probe.ranges.centre)
    settings = tuple(Setting(**one.model_dump()) for one in probe.settings)
    return RFM(probe.draws, probe.iterations, ranges, settings, probe.unit, probe.seed)
