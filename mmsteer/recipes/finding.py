"""Labelled samples → directions: record, and fit a probe at every site."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmsteer.latents.finder import FeatureFinder, feature_directions, record_features
from mmsteer.probes import HeldOut, Sides, Sweep, average_sides, held_out, sweep
from mmsteer.recipes.dictionaries import as_feature, dictionary_of, readable
from mmsteer.recipes.schema import FoundDirections, SaeProbe
from mmsteer.record import record
from mmsteer.sae import SparseDictionary
from mmsteer.tasks import Labelled
from mmsteer.types import Activations, Adapter, Direction, Positions, select_sites
from mmsteer.workers import Held, Here, Workers

PART = 4
"""Groups whose samples are held whole before they are averaged."""


@dataclass(frozen=True, eq=False)
class Found:
    """What one entry of a recipe's directions led to.

    `table`: the scores as plain JSON, an item of `probe.json`.
    `seconds`: what it took to fit, once everything was read.
    `held_out`: how sure the score of the best site is, where that was asked for.
    """

    directions: Mapping[str, Direction]
    table: Mapping[str, Any]
    seconds: float
    held_out: HeldOut | None = None


def find(
    adapter: Adapter,
    entry: FoundDirections,
    data: Labelled,
    folder: Path | None = None,
    *,
    without: Sequence[Direction] = (),
    workers: Workers | None = None,
    progress: bool = False,
    judged: bool = False,
) -> Found:
    """Record samples and fit a probe at every site.

    Args:
        adapter: The model.
        entry: Sites, positions and probe; the probe's settings, not its name.
        data: What is read.
        folder: Where recordings are kept while they are needed, by content; None for memory.
        without: Directions that those of a probe shall be orthogonal to.
        workers: What reads the samples and fits probes; None for this process.
        progress: Show a bar.
        judged: Judge the best site by an interval and a permutation test; features of dictionaries are left out.
    """
    by = workers or Here(Held(adapter))
    if isinstance(entry.probe, SaeProbe):
        found, seconds = _features(adapter, entry, entry.probe, data, folder, by, progress=progress)
        return Found(found.directions, _table(entry, found), seconds)
    sides = _read(adapter, entry, data, folder, by, progress=progress)
    assert not isinstance(entry.probe, str)
    start = time.perf_counter()
    found = sweep(
        entry.probe,
        sides.activations,
        sides.labels,
        family=entry.family,
        task=data.target,
        groups=sides.groups,
        without=without,
        workers=workers,
        progress=progress,
    )
    seconds = time.perf_counter() - start
    sure = held_out(found, sides.activations, sides.labels, task=data.target, groups=sides.groups) if judged else None
    if sure is None:
        return Found(found.directions, _table(entry, found), seconds)
    known = {"held_out": str(sure).removeprefix("held out: ").replace("\n", "; ")}
    directions = {name: replace(one, provenance={**one.provenance, **known}) for name, one in found.directions.items()}
    return Found(directions, _table(entry, found), seconds, sure)


def _read(
    adapter: Adapter, entry: FoundDirections, data: Labelled, folder: Path | None, by: Workers, *, progress: bool
) -> Sides:
    """Every sample as a row; or every side of a group, of which few are held whole at a time."""

    def recorded(part: Labelled, place: Path | None) -> tuple[Activations, tuple[Any, ...], tuple[str, ...]]:
        sites = select_sites(entry.sites, adapter.widths)
        positions = Positions(entry.positions)
        read = record(
            adapter,
            part.samples,
            sites,
            positions=positions,
            pool=entry.pool,
            folder=place,
            workers=by,
            progress=progress,
        )
        return read, part.labels, part.groups

    if not data.averaged:
        return Sides(*recorded(data, folder))
    parts = enumerate(data.parts(PART))
    return average_sides(recorded(part, folder and folder / f"part-{at:05d}") for at, part in parts)


def _features(
    adapter: Adapter,
    entry: FoundDirections,
    probe: SaeProbe,
    data: Labelled,
    folder: Path | None,
    by: Workers,
    *,
    progress: bool,
) -> tuple[Sweep, float]:
    dictionary = dictionary_of(entry, probe, adapter)
    # Elsewhere as one piece, in memory: a dictionary is larger than what is read with it.
    read = by.one(_RecordedFeatures(entry, probe, data, None if by.apart else folder, progress and not by.apart))
    start = time.perf_counter()
    finder = FeatureFinder(probe.selector, probe.features, probe.coefficient, probe.seed)
    found = feature_directions(
        dictionary, read, data.labels, finder, family=entry.family, task=data.target, groups=data.groups
    )
    if readable(probe, dictionary):
        found = _as_features(found, entry.family, dictionary, read)
    return found, time.perf_counter() - start


@dataclass(frozen=True, eq=False)
class _RecordedFeatures:
    """Read the activations of a dictionary's features."""

    entry: FoundDirections
    probe: SaeProbe
    data: Labelled
    folder: Path | None
    progress: bool

    def do(self, held: Held) -> Activations:
        return record_features(
            held.adapter,
            dictionary_of(self.entry, self.probe, held.adapter),
            self.data.samples,
            positions=Positions(self.entry.positions),
            pool=self.entry.pool,
            folder=self.folder,
            progress=self.progress,
        )

    def __str__(self) -> str:
        return f"{self.entry.family}, reading features"


def _as_features(found: Sweep, family: str, dictionary: SparseDictionary, read: Activations) -> Sweep:
    """Directions of one feature each, as such."""
    (fit,) = found.fitted.values()
    chosen: Any = fit.settings["chosen"]
    alone = {
        name: as_feature(one, dictionary, chosen[name.removeprefix(f"{family}:")][0], read)
        for name, one in found.directions.items()
    }
    return replace(found, directions=alone)


def _table(entry: FoundDirections, found: Sweep) -> dict[str, Any]:
    rows = [{"site": str(row.site), "score": row.score, "labels": dict(row.labels)} for row in found.rows]
    return {
        "family": entry.family,
        "probe": entry.probe if isinstance(entry.probe, str) else entry.probe.name,
        "metric": found.rows[0].metric,
        "labels": [name.split(":", 1)[1] for name in found.directions],
        "rows": rows,
    }


def left_out(entry: Any, above: Mapping[str, Direction]) -> tuple[Direction, ...]:
    """The directions that an entry's own shall be orthogonal to.

    `entry`: the entry; files of directions leave out nothing.
    `above`: the directions of the entries above it.
    """
    families = getattr(entry, "without", ())
    return tuple(one for name, one in above.items() if name.partition(":")[0] in families)


def recording_key(entry: FoundDirections) -> str:
    """A name for what is recorded for an entry; entries that differ in how their probe fits alone share it."""
    read = entry.model_dump(exclude={"probe", "family", "without"})
    return json.dumps([read, getattr(entry.probe, "dictionary", None)], sort_keys=True)
