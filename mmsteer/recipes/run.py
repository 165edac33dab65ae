"""A prepared experiment → its run folder, step by step; every step takes up what is already there."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmsteer.direction_file import load_directions, save_directions
from mmsteer.recipes.choosing import choose
from mmsteer.recipes.controls import Controlled
from mmsteer.recipes.document import write_document
from mmsteer.recipes.expand import UNSTEERED, Condition
from mmsteer.recipes.experiment import Experiment, environment
from mmsteer.recipes.finding import Found, find, left_out, recording_key
from mmsteer.recipes.folder import CHUNKS, SAMPLES, RunFolder
from mmsteer.recipes.plan import Planned, Planner
from mmsteer.recipes.receipts import joined_receipt
from mmsteer.recipes.sampling import DOSES, Sampler
from mmsteer.recipes.schema import FileDirections, FoundDirections
from mmsteer.recipes.scoring import Scored, score_conditions
from mmsteer.steering import Steering
from mmsteer.types import Direction

DIRECTIONS, PROBE, RECORDINGS = "directions.safetensors", "probe.json", "recordings"
TIMES = "times.json"
CHOICE, SCORES, VALIDATION = "choice.json", "scores.json", "validation"
Lines = Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True, eq=False)
class Axes:
    """All that conditions are steered along.

    Attributes:
        directions: What the lines name.
        controls: For each kind of control what stands for them there.
    """

    directions: Mapping[str, Direction]
    controls: Mapping[str, Controlled]


def run(experiment: Experiment, out: Path | None = None, *, progress: bool = True) -> RunFolder:
    """Do what a recipe says, or what is left of it.

    Args:
        experiment: The recipe and its model.
        out: The run folder; None for `runs/<name>-<id>`.
        progress: Show what is running and how long it takes.

    Raises:
        RecipeError: The folder holds another run, or cannot be written.
    """
    folder = RunFolder.open(out or Path("runs") / experiment.name, experiment.id, experiment.recipe.name)
    with folder.locked():
        if not folder.finished:
            _describe(experiment, folder)
            axes = _axes(experiment, folder, progress=progress)
            conditions, factors = _chosen(experiment, folder, axes, progress=progress)
            controls = experiment.recipe.controls
            planner = Planner(
                controls.unsteered, controls.random, axes.controls, experiment.recipe.seed, experiment.modality.OWN
            )
            plan = planner.plan(conditions, axes.directions)
            _carry_out(experiment, folder, plan, experiment.items, factors, progress=progress)
            folder.finish()
    return folder


def _describe(experiment: Experiment, folder: RunFolder) -> None:
    recipe = experiment.recipe.model_dump(mode="json")
    folder.write_bytes("recipe.yaml", write_document(recipe).encode())
    folder.write("environment.json", environment(experiment))
    experiment.task.describe(folder, experiment.items)


def _axes(experiment: Experiment, folder: RunFolder, *, progress: bool) -> Axes:
    """The directions of all entries and their controls, found once and kept."""
    kinds = [kind for kind in experiment.modality.CONTROLS if getattr(experiment.recipe.controls, kind)]
    if not folder.has(PROBE):
        _find(experiment, folder, kinds, progress=progress)
    # From the files: a run that goes on steers along the very numbers of one that never stopped.
    directions = _kept(folder, DIRECTIONS)
    for given in experiment.checked.files.values():
        directions |= {name: replace(directions[name], compatibility=one.compatibility) for name, one in given.items()}
    return Axes(directions, {kind: _kept(folder, _control_file(kind)) for kind in kinds})


def _find(experiment: Experiment, folder: RunFolder, kinds: Sequence[str], *, progress: bool) -> None:
    known: dict[str, Direction] = {}
    others: dict[str, dict[str, Direction]] = {kind: {} for kind in kinds}
    tables, seconds = [], {}
    for entry in experiment.recipe.directions:
        if isinstance(entry, FileDirections):
            known |= experiment.checked.files[entry.file]
            continue
        above = dict(known)
        found = _fitted(experiment, folder, entry, None, above, progress=progress)
        known |= found.directions
        tables.append(dict(found.table))
        seconds[entry.family] = found.seconds
        for kind in kinds:
            # What is left out of a control was found as the control was.
            again = _fitted(experiment, folder, entry, kind, above | others[kind], progress=progress)
            others[kind] |= again.directions
    for name, some in {DIRECTIONS: known, **{_control_file(kind): others[kind] for kind in kinds}}.items():
        if some:
            save_directions(folder.path / name, some.values(), overwrite=True)
    # Apart from the scores, which are the same whenever and wherever they are measured.
    folder.write(TIMES, {"seconds_to_fit": seconds})
    # Only now: this file promises that the directions are there.
    folder.write(PROBE, tables)
    shutil.rmtree(folder.path / RECORDINGS, ignore_errors=True)


def _kept(folder: RunFolder, name: str) -> dict[str, Direction]:
    return load_directions(folder.path / name) if folder.has(name) else {}


def _fitted(
    experiment: Experiment,
    folder: RunFolder,
    entry: FoundDirections,
    control: str | None,
    above: Mapping[str, Direction],
    *,
    progress: bool,
) -> Found:
    modality, adapter = experiment.modality, experiment.adapter
    data = modality.samples(entry, adapter, control, experiment.recipe.seed)
    place = _recording(folder, entry, control or "")
    without = left_out(entry, above)
    return find(adapter, entry, data, modality.TASK, place, without=without, progress=progress)


def _control_file(kind: str) -> str:
    return f"{kind}.safetensors"


def _recording(folder: RunFolder, entry: FoundDirections, control: str) -> Path:
    return folder.path / RECORDINGS / sha256((recording_key(entry) + control).encode()).hexdigest()[:16]


def _chosen(
    experiment: Experiment, folder: RunFolder, axes: Axes, *, progress: bool
) -> tuple[tuple[Condition, ...], Mapping[str, float | None] | None]:
    """The conditions that go on, and the factors of their strengths where the validation has fixed them."""
    rule, conditions = experiment.recipe.choose, experiment.checked.conditions
    if rule is None:
        return conditions, None
    part = folder.part(VALIDATION)
    if not part.has(SCORES):
        planner = Planner(True, 0, {}, experiment.recipe.seed, experiment.modality.OWN)
        plan = planner.plan(conditions, axes.directions)
        experiment.task.describe(part, experiment.validation)
        _carry_out(experiment, part, plan, experiment.validation, None, progress=progress)
    choice = choose(rule, conditions, part.read(SCORES))
    folder.write(CHOICE, choice)
    names = {one["condition"] for one in choice}
    factors = {name: dose["factor"] for name, dose in part.read(DOSES).items()}
    return tuple(one for one in conditions if one.name in names), factors


def _carry_out(
    experiment: Experiment,
    folder: RunFolder,
    plan: Sequence[Planned],
    items: Sequence[Any],
    factors: Mapping[str, float | None] | None,
    *,
    progress: bool,
) -> None:
    """Generate, judge and score everything of a plan."""
    folder.write("conditions.json", [planned.to_json() for planned in plan])
    sampler = Sampler(experiment.task, folder, experiment.modality.ITEM, items, factors)
    applied = sampler.run(plan, progress=progress)
    _score(experiment, folder, plan, applied)


def _score(experiment: Experiment, folder: RunFolder, plan: Sequence[Planned], applied: Mapping[str, Steering]) -> None:
    """Everything that follows from the finished outputs."""
    lines = _by_condition(folder.lines(SAMPLES), experiment.modality.ITEM)
    doses = folder.read(DOSES)
    receipts = {
        name: joined_receipt([line["receipt"] for line in made]) | {"kl": doses.get(name, {}).get("kl")}
        for name, made in _by_condition(folder.lines(CHUNKS), "chunk").items()
    }
    steered = [planned for planned in plan if planned.kind == "steered"]
    traces = {
        one.name: experiment.task.traces(applied[one.name], lines[one.name], lines.get(UNSTEERED)) for one in steered
    }
    scored = [_scored(one, experiment, lines, receipts) for one in steered]
    folder.write("receipts.json", receipts)
    folder.write("traces.json", traces)
    folder.write(SCORES, score_conditions(scored, experiment.task.scores))


def _by_condition(lines: Sequence[dict[str, Any]], order: str) -> Lines:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for line in sorted(lines, key=lambda line: int(line[order])):
        grouped.setdefault(line["condition"], []).append(line)
    return grouped


def _scored(planned: Planned, experiment: Experiment, lines: Lines, receipts: Mapping[str, dict[str, Any]]) -> Scored:
    condition = planned.condition
    assert condition is not None
    table = experiment.recipe.conditions[int(condition.place[1])]
    # Variables that the target names tell targets apart, the others tell groups of them apart.
    targets = getattr(table, "target", {}).values()
    named = {key for key in condition.values if any(f"{{{key}}}" in text for text in targets)}
    rest = tuple((key, value) for key, value in condition.values.items() if key not in named)
    return Scored(
        name=planned.name,
        values=condition.values,
        own=planned.own,
        group=(condition.place, rest),
        lines=lines[planned.name],
        unsteered=lines.get(UNSTEERED),
        controls={kind: [lines[name] for name in names] for kind, names in planned.controls.items()},
        kl=receipts[planned.name]["kl"],
        ratio=receipts[planned.name]["ratio"],
    )
