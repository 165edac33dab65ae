"""A prepared experiment → its run folder, step by step; every step takes up what is already there."""

import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmsteer.direction_file import load_directions, save_directions
from mmsteer.recipes.directions import find_directions, recording_key
from mmsteer.recipes.document import write_document
from mmsteer.recipes.experiment import Experiment, environment
from mmsteer.recipes.folder import CHUNKS, SAMPLES, RunFolder
from mmsteer.recipes.generation import joined_receipt
from mmsteer.recipes.plan import UNSTEERED, Planned, plan_run
from mmsteer.recipes.sampling import DOSES, Sampler
from mmsteer.recipes.schema import FileDirections, FoundDirections
from mmsteer.recipes.scoring import Scored, score_conditions
from mmsteer.recipes.traces import condition_traces
from mmsteer.schedules import Timeline
from mmsteer.steering import Steering
from mmsteer.types import Direction

DIRECTIONS, PROBE, RECORDINGS = "directions.safetensors", "probe.json", "recordings"
Lines = Mapping[str, list[dict[str, Any]]]


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
            directions = _directions(experiment, folder, progress=progress)
            plan = plan_run(experiment.recipe, experiment.checked.conditions, directions)
            folder.write("conditions.json", [planned.to_json() for planned in plan])
            applied = Sampler(experiment, folder, plan).run(progress=progress)
            _score(experiment, folder, plan, applied)
            folder.finish()
    return folder


def _describe(experiment: Experiment, folder: RunFolder) -> None:
    recipe = experiment.recipe.model_dump(mode="json")
    folder.write_bytes("recipe.yaml", write_document(recipe).encode())
    folder.write("environment.json", environment(experiment))
    folder.write("prompts.json", [vars(prompt) | {"truth": dict(prompt.truth)} for prompt in experiment.prompts])


def _directions(experiment: Experiment, folder: RunFolder, *, progress: bool) -> Mapping[str, Direction]:
    """The directions of all entries, found once and kept."""
    if not (folder.has(PROBE) and folder.has(DIRECTIONS)):
        known: dict[str, Direction] = {}
        tables = []
        for entry in experiment.recipe.directions:
            if isinstance(entry, FileDirections):
                known |= experiment.checked.files[entry.file]
                continue
            found = find_directions(experiment.adapter, entry, _recording(folder, entry), progress=progress)
            known |= found.sweep.directions
            tables.append(dict(found.table))
        save_directions(folder.path / DIRECTIONS, known.values(), overwrite=True)
        folder.write(PROBE, tables)
        shutil.rmtree(folder.path / RECORDINGS, ignore_errors=True)
    # From the file: a run that goes on steers along the very numbers of one that never stopped.
    return load_directions(folder.path / DIRECTIONS)


def _recording(folder: RunFolder, entry: FoundDirections) -> Path:
    return folder.path / RECORDINGS / sha256(recording_key(entry).encode()).hexdigest()[:16]


def _score(experiment: Experiment, folder: RunFolder, plan: Sequence[Planned], applied: Mapping[str, Steering]) -> None:
    """Everything that follows from the finished clips."""
    clips = _by_condition(folder.lines(SAMPLES), "prompt")
    doses = folder.read(DOSES)
    receipts = {
        name: joined_receipt([line["receipt"] for line in lines]) | {"kl": doses.get(name, {}).get("kl")}
        for name, lines in _by_condition(folder.lines(CHUNKS), "chunk").items()
    }
    steered = [planned for planned in plan if planned.kind == "steered"]
    timeline = Timeline(experiment.adapter.frames(experiment.recipe.generate.seconds), experiment.adapter.rate)
    traces = {
        one.name: condition_traces(applied[one.name], clips[one.name], clips.get(UNSTEERED), timeline)
        for one in steered
    }
    folder.write("receipts.json", receipts)
    folder.write("scores.json", score_conditions([_scored(one, experiment, clips, receipts) for one in steered]))
    folder.write("traces.json", traces)


def _by_condition(lines: Sequence[dict[str, Any]], order: str) -> Lines:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for line in sorted(lines, key=lambda line: int(line[order])):
        grouped.setdefault(line["condition"], []).append(line)
    return grouped


def _scored(planned: Planned, experiment: Experiment, clips: Lines, receipts: Mapping[str, dict[str, Any]]) -> Scored:
    condition = planned.condition
    assert condition is not None
    table = experiment.recipe.conditions[int(condition.place[1])]
    # Variables that the target names tell targets apart, the others tell groups of them apart.
    named = {key for key in condition.values if any(f"{{{key}}}" in text for text in table.target.values())}
    rest = tuple((key, value) for key, value in condition.values.items() if key not in named)
    return Scored(
        name=planned.name,
        values=condition.values,
        target=condition.target,
        group=(condition.place, rest),
        clips=clips[planned.name],
        unsteered=clips.get(UNSTEERED),
        random=[clips[name] for name in planned.controls],
        kl=receipts[planned.name]["kl"],
        ratio=receipts[planned.name]["ratio"],
    )
