"""A prepared experiment → its run folder, step by step; every step takes up what is already there."""

import shutil
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from mmsteer.direction_file import load_directions, save_directions
from mmsteer.document import write_document
from mmsteer.recipes.attributing.outputs import Attributing
from mmsteer.recipes.choosing import choose
from mmsteer.recipes.contrasts import CONTROLS, LabelledSamples
from mmsteer.recipes.controls import Controlled
from mmsteer.recipes.environment import environment
from mmsteer.recipes.experiment import TEST, VALIDATION, Experiment
from mmsteer.recipes.finding import Found, find, left_out, recording_key
from mmsteer.recipes.folder import RunFolder
from mmsteer.recipes.forms import files
from mmsteer.recipes.loop import SCORES, carry_out
from mmsteer.recipes.plan import SEARCHED, Condition, Planned, Planner
from mmsteer.recipes.sampling import DOSES
from mmsteer.recipes.schema import FileDirections, FoundDirections
from mmsteer.recipes.searched import drafts, searched
from mmsteer.types import Direction
from mmsteer.workers import Here, Workers

DIRECTIONS, PROBE, RECORDINGS = "directions.safetensors", "probe.json", "recordings"
TIMES = "times.json"
CHOICE = "choice.json"


@dataclass(frozen=True, eq=False)
class Axes:
    """All that conditions are steered along.

    `directions`: what the lines name.
    `controls`: for each kind of control what stands for them there.
    """

    directions: Mapping[str, Direction]
    controls: Mapping[str, Controlled]


def run(
    experiment: Experiment, out: Path | None = None, *, workers: Workers | None = None, progress: bool = True
) -> RunFolder:
    """Do what a recipe says, or what is left of it.

    `out`: the run folder; None for `runs/<name>-<id>`.
    `workers`: what reads and generates; None for this process.
    `progress`: show what is running and how long it takes.

    Raises:
        RecipeError: The folder holds another run, or cannot be written.
    """
    by = workers or Here(experiment.held)
    folder = RunFolder.open(out or Path("runs") / experiment.name, experiment.id, experiment.recipe.name)
    with folder.locked():
        if not folder.finished:
            _describe(experiment, folder)
            axes = _axes(experiment, folder, by, progress=progress)
            conditions, factors = _chosen(experiment, folder, axes, by, progress=progress)
            controls, group = experiment.recipe.controls, partial(_group, experiment.recipe)
            beside = _searched(experiment, folder, axes, conditions, by, progress=progress)
            planner = Planner(controls.unsteered, controls.random, axes.controls, experiment.recipe.seed, beside)
            plan = planner.plan(conditions, axes.directions)
            applied, lines = carry_out(
                experiment.task, folder, plan, group, factors, workers=by, name=TEST, progress=progress
            )
            if how := experiment.recipe.attribution:
                doing = Attributing(how, experiment.task, folder, by, experiment.recipe.seed)
                doing.run({one: applied[one.name] for one in plan}, lines, progress=progress)
            folder.finish(
                *([VALIDATION] if experiment.recipe.choose else []), *([SEARCHED] if controls.searched else [])
            )
    return folder


def _describe(experiment: Experiment, folder: RunFolder) -> None:
    recipe = experiment.recipe
    folder.write_bytes("recipe.yaml", write_document(recipe.model_dump(mode="json")).encode(), once=True)
    made = environment(recipe.model.load, experiment.adapter, map(Path, experiment.checked.files), files(recipe))
    folder.write("environment.json", {"id": experiment.id} | made, once=True)


def _axes(experiment: Experiment, folder: RunFolder, by: Workers, *, progress: bool) -> Axes:
    """The directions of all entries and their controls, found once and kept."""
    kinds = [kind for kind in CONTROLS if getattr(experiment.recipe.controls, kind)]
    if not folder.has(PROBE, *folder.written(".safetensors")):
        _find(experiment, folder, kinds, by, progress=progress)
    # From the files: a run that goes on steers along the very numbers of one that never stopped.
    directions = _kept(folder, DIRECTIONS)
    for given in experiment.checked.files.values():
        directions |= {name: replace(directions[name], compatibility=one.compatibility) for name, one in given.items()}
    return Axes(directions, {kind: _kept(folder, _control_file(kind)) for kind in kinds})


def _find(experiment: Experiment, folder: RunFolder, kinds: Sequence[str], by: Workers, *, progress: bool) -> None:
    known: dict[str, Direction] = {}
    others: dict[str, dict[str, Direction]] = {kind: {} for kind in kinds}
    tables, seconds = [], {}
    for entry in experiment.recipe.directions:
        if isinstance(entry, FileDirections):
            known |= experiment.checked.files[entry.file]
            continue
        above = dict(known)
        found = _fitted(experiment, folder, entry, None, above, by, progress=progress)
        known |= found.directions
        tables.append(dict(found.table))
        seconds[entry.family] = found.seconds
        for kind in kinds:
            # What is left out of a control was found as the control was.
            again = _fitted(experiment, folder, entry, kind, above | others[kind], by, progress=progress)
            others[kind] |= again.directions
    for name, some in {DIRECTIONS: known, **{_control_file(kind): others[kind] for kind in kinds}}.items():
        if some:
            save_directions(folder.path / name, some.values(), overwrite=True)
            folder.seal(name)
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
    by: Workers,
    *,
    progress: bool,
) -> Found:
    adapter = experiment.adapter
    assert not isinstance(entry.probe, str)
    data = by.one(LabelledSamples(entry.data, control, experiment.recipe.seed, entry.probe.seed))
    place = _recording(folder, entry, control or "")
    without = left_out(entry, above)
    return find(adapter, entry, data, place, without=without, workers=by, progress=progress)


def _control_file(kind: str) -> str:
    return f"{kind}.safetensors"


def _recording(folder: RunFolder, entry: FoundDirections, control: str) -> Path:
    return folder.path / RECORDINGS / sha256((recording_key(entry) + control).encode()).hexdigest()[:16]


def _chosen(
    experiment: Experiment, folder: RunFolder, axes: Axes, by: Workers, *, progress: bool
) -> tuple[tuple[Condition, ...], Mapping[str, float | None] | None]:
    """The conditions that go on, and the factors of their strengths where the validation has fixed them."""
    rule, conditions = experiment.recipe.choose, experiment.checked.conditions
    if rule is None:
        return conditions, None
    part = _tried(experiment, folder, VALIDATION, conditions, axes, by, progress=progress)
    choice = choose(rule, conditions, part.read(SCORES))
    folder.write(CHOICE, choice)
    names = {one["condition"] for one in choice}
    factors = {name: dose["factor"] for name, dose in part.read(DOSES).items()}
    return tuple(one for one in conditions if one.name in names), factors


def _searched(
    experiment: Experiment, folder: RunFolder, axes: Axes, chosen: Sequence[Condition], by: Workers, *, progress: bool
) -> Mapping[str, tuple[Planned, ...]]:
    """The controls along random directions that are chosen as the conditions were."""
    recipe = experiment.recipe
    if recipe.choose is None or not recipe.controls.searched:
        return {}
    drawn = drafts(recipe, experiment.checked.conditions, axes.directions)
    part = _tried(experiment, folder, SEARCHED, list(chain(*drawn)), axes, by, progress=progress)
    return searched(recipe.choose, chosen, drawn, part.read(SCORES), part.read(DOSES))


def _tried(
    experiment: Experiment,
    folder: RunFolder,
    name: str,
    conditions: Sequence[Condition],
    axes: Axes,
    by: Workers,
    *,
    progress: bool,
) -> RunFolder:
    """A folder inside, in which conditions have been tried on the material that they are chosen by."""
    assert experiment.validation
    part = folder.part(name)
    if not part.whole:
        plan = Planner(True, 0, {}, experiment.recipe.seed).plan(conditions, axes.directions)
        group = partial(_group, experiment.recipe)
        carry_out(experiment.validation, part, plan, group, workers=by, name=VALIDATION, shown=False, progress=progress)
        part.close()
    return part


def _group(recipe: Any, condition: Condition) -> Hashable:
    """What a condition shares with those that differ from it in their target alone."""
    table = recipe.conditions[int(condition.place[1])]
    # Variables that the target names tell targets apart, the others tell groups of them apart.
    targets = table.target.values()
    named = {key for key in condition.values if any(f"{{{key}}}" in text for text in targets)}
    return condition.place, tuple((key, value) for key, value in condition.values.items() if key not in named)
