"""A prepared experiment → its run folder, step by step; every step takes up what is already there."""

import shutil
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmsteer.direction_file import load_directions, save_directions
from mmsteer.eval.audio import read_audio
from mmsteer.recipes.data import Prompt
from mmsteer.recipes.directions import find_directions, recording_key
from mmsteer.recipes.document import write_document
from mmsteer.recipes.experiment import Experiment, environment
from mmsteer.recipes.folder import CHUNKS, SAMPLES, RunFolder
from mmsteer.recipes.generation import (
    CONTEXTS,
    Chunk,
    calibrated,
    chunks_of,
    contexts,
    generate_chunk,
    joined_receipt,
    mean_divergence,
)
from mmsteer.recipes.judging import ADHERENCE, adherence, judge, needed
from mmsteer.recipes.plan import UNSTEERED, Planned, plan_run
from mmsteer.recipes.schema import FileDirections, FoundDirections
from mmsteer.recipes.scoring import Scored, score_conditions
from mmsteer.recipes.traces import condition_traces
from mmsteer.schedules import Timeline
from mmsteer.types import Direction, Sample

HEADER = "# yaml-language-server: $schema=https://mmsteer.dev/recipes/schema.json\n"
DIRECTIONS, PROBE, DOSES, RECORDINGS = "directions.safetensors", "probe.json", "doses.json", "recordings"


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
            steerings = _Generation(experiment, folder, plan, progress=progress).run()
            _score(experiment, folder, plan, steerings)
            folder.finish()
    return folder


def _describe(experiment: Experiment, folder: RunFolder) -> None:
    recipe = experiment.recipe.model_dump(mode="json")
    folder.write_bytes("recipe.yaml", (HEADER + write_document(recipe)).encode())
    folder.write("environment.json", environment(experiment))
    folder.write("prompts.json", [vars(prompt) | {"truth": dict(prompt.truth)} for prompt in experiment.prompts])


def _directions(experiment: Experiment, folder: RunFolder, *, progress: bool) -> Mapping[str, Direction]:
    """The directions of all entries, found once and kept."""
    if folder.has(PROBE) and folder.has(DIRECTIONS):
        return load_directions(folder.path / DIRECTIONS)
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
    # From the file: so a run that goes on steers along the very same numbers as one that never stopped.
    return load_directions(folder.path / DIRECTIONS)


def _recording(folder: RunFolder, entry: FoundDirections) -> Path:
    return folder.path / RECORDINGS / sha256(recording_key(entry).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Waiting:
    """A batch whose audio is written and whose judging is under way."""

    lines: Future[list[dict[str, Any]]]


class _Generation:
    """Generates what is missing while a second thread judges what is there."""

    def __init__(self, experiment: Experiment, folder: RunFolder, plan: tuple[Planned, ...], *, progress: bool) -> None:
        self._experiment = experiment
        self._recipe = experiment.recipe
        self._folder = folder
        self._plan = plan
        self._shown = progress
        self._judged = {(line["condition"], line["prompt"]) for line in folder.lines(SAMPLES)}
        self._made = {(line["condition"], line["chunk"]) for line in folder.lines(CHUNKS)}
        self._doses: dict[str, dict[str, float | None]] = folder.read(DOSES) if folder.has(DOSES) else {}

    def run(self) -> dict[str, Any]:
        """Generate and judge; the steering of each condition as it was applied."""
        chunks = chunks_of(self._experiment.prompts, self._recipe.generate.batch)
        applied = {}
        with _bar(self._shown) as bar, ThreadPoolExecutor(1) as judges:
            total = len(self._plan) * len(self._experiment.prompts)
            task = bar.add_task("generating", total=total, completed=len(self._judged))
            waiting: deque[Future[list[dict[str, Any]]]] = deque()

            def settle(most: int) -> None:
                while len(waiting) > most:
                    lines = waiting.popleft().result()
                    self._folder.append(SAMPLES, lines)
                    bar.advance(task, len(lines))

            for planned in self._plan:
                bar.update(task, description=planned.name)
                # The contexts of a dose are unsteered clips, which come first.
                applied[planned.name] = self._dosed(planned)
                for chunk in chunks:
                    missing = [one for one in chunk.prompts if (planned.name, one.index) not in self._judged]
                    if missing:
                        self._make(planned, applied[planned.name], chunk)
                        waiting.append(judges.submit(self._judge, planned, missing))
                        settle(most=1)
                if planned.name == UNSTEERED:
                    settle(most=0)
            settle(most=0)
        return applied

    def _make(self, planned: Planned, steering: Any, chunk: Chunk) -> None:
        if (planned.name, chunk.index) in self._made:
            return
        files, receipt = generate_chunk(self._experiment.adapter, steering, chunk, self._recipe.generate)
        for prompt, data in zip(chunk.prompts, files, strict=True):
            self._folder.write_bytes(audio_path(planned, prompt), data)
        # Only now: a line in this log promises that the audio is there.
        self._folder.append(CHUNKS, [{"condition": planned.name, "chunk": chunk.index, "receipt": receipt}])

    def _judge(self, planned: Planned, prompts: list[Prompt]) -> list[dict[str, Any]]:
        evaluate = self._recipe.evaluate
        lines = []
        for prompt in prompts:
            audio = audio_path(planned, prompt)
            readings = judge(self._folder.path / audio, needed(evaluate))
            lines.append(
                {
                    "condition": planned.name,
                    "prompt": prompt.index,
                    "text": prompt.text,
                    "seed": prompt.seed,
                    "target": planned.to_json()["target"],
                    "audio": audio,
                    "readings": readings,
                    "adherence": adherence(readings, prompt.truth) if ADHERENCE in evaluate else None,
                }
            )
        return lines

    def _dosed(self, planned: Planned) -> Any:
        """The steering as it is applied; its dose is measured once and kept."""
        if planned.kind == "unsteered":
            return planned.steering
        if planned.kind == "random":
            factor = self._doses[planned.condition.name]["factor"] if planned.condition else None
            return planned.steering.scaled(factor) if factor is not None else planned.steering
        if planned.name not in self._doses:
            self._doses[planned.name] = self._measured(planned)
            self._folder.write(DOSES, self._doses)
        factor = self._doses[planned.name]["factor"]
        return planned.steering.scaled(factor) if factor is not None else planned.steering

    def _measured(self, planned: Planned) -> dict[str, float | None]:
        guidance = self._recipe.generate.guidance
        adapter, target = self._experiment.adapter, planned.condition.kl if planned.condition else None
        samples = self._contexts()
        steering, dose = calibrated(adapter, planned.steering, samples, target, guidance)
        kl = mean_divergence(adapter, steering, samples, guidance)
        return {"factor": dose["factor"] if dose else None, "kl": kl}

    def _contexts(self) -> list[Sample]:
        if self._plan[0].kind != "unsteered":
            return []
        prompts = self._experiment.prompts[:CONTEXTS]
        clips = [(one, read_audio(self._folder.path / audio_path(self._plan[0], one)).samples) for one in prompts]
        return contexts(self._experiment.adapter, clips)


def audio_path(planned: Planned, prompt: Prompt) -> str:
    """Where a clip lies in the run folder.

    Args:
        planned: Its condition.
        prompt: Its prompt.
    """
    return f"audio/{planned.folder}/{prompt.index:02d}.flac"


def _bar(shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    from rich.console import Console

    return Progress(*columns, console=Console(stderr=True), disable=not shown)


def _score(experiment: Experiment, folder: RunFolder, plan: tuple[Planned, ...], steerings: Mapping[str, Any]) -> None:
    """Everything that follows from the finished clips."""
    clips: dict[str, list[dict[str, Any]]] = {}
    for line in sorted(folder.lines(SAMPLES), key=lambda line: line["prompt"]):
        clips.setdefault(line["condition"], []).append(line)
    parts: dict[str, list[dict[str, Any]]] = {}
    for line in sorted(folder.lines(CHUNKS), key=lambda line: line["chunk"]):
        parts.setdefault(line["condition"], []).append(line["receipt"])
    doses = folder.read(DOSES)
    receipts = {name: joined_receipt(rows) | {"kl": doses.get(name, {}).get("kl")} for name, rows in parts.items()}
    steered = [planned for planned in plan if planned.kind == "steered"]
    timeline = Timeline(experiment.adapter.frames(experiment.recipe.generate.seconds), experiment.adapter.rate)
    folder.write("receipts.json", receipts)
    folder.write("scores.json", score_conditions([_scored(one, experiment, clips, receipts) for one in steered]))
    folder.write(
        "traces.json",
        {
            one.name: condition_traces(steerings[one.name], clips[one.name], clips.get(UNSTEERED), timeline)
            for one in steered
        },
    )


def _scored(
    planned: Planned,
    experiment: Experiment,
    clips: Mapping[str, list[dict[str, Any]]],
    receipts: Mapping[str, dict[str, Any]],
) -> Scored:
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
