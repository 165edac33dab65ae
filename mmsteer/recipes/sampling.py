"""The loop of a run: generates what is missing while a second thread judges what is there."""

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mmsteer.calibrate import calibrate, divergence
from mmsteer.recipes.folder import CHUNKS, SAMPLES, RunFolder
from mmsteer.recipes.plan import UNSTEERED, Planned
from mmsteer.recipes.scoring import ITEM
from mmsteer.recipes.task import Task
from mmsteer.steering import Steering
from mmsteer.types import Sample

DOSES = "doses.json"
CONTEXTS = 4
"""Unsteered outputs along which the divergence is measured."""
Lines = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Chunk:
    """A batch of items under one condition; always the same items, whatever was done before.

    `index`: its place.
    """

    index: int
    items: tuple[Any, ...]


def chunks_of(items: Sequence[Any], size: int) -> tuple[Chunk, ...]:
    """Items in batches."""
    starts = range(0, len(items), size)
    return tuple(Chunk(index, tuple(items[start : start + size])) for index, start in enumerate(starts))


class Sampler:
    """Generates and judges everything of a plan that the folder does not hold yet."""

    def __init__(self, task: Task, folder: RunFolder, factors: Mapping[str, float | None] | None = None) -> None:
        """Take up what the folder holds.

        Args:
            task: What is generated and scored.
            folder: Where everything is kept.
            factors: For each condition the factor of its strengths, where that is known already.
        """
        self._task = task
        self._folder = folder
        self._chunks = chunks_of(task.items, task.chunk)
        self._judged = {(line["condition"], line[ITEM]) for line in folder.lines(SAMPLES)}
        self._made = _whole_chunks(folder)
        self._doses: dict[str, dict[str, float | None]] = folder.read(DOSES) if folder.has(DOSES) else {}
        self._factors = factors
        self._waiting: deque[Future[Lines]] = deque()

    def run(self, plan: Sequence[Planned], *, progress: bool) -> dict[str, Steering]:
        """Finish the plan; the steering of each condition as it was applied.

        `plan`: all rows; the unsteered one first.
        `progress`: show what is running and how long it takes.
        """
        applied = {}
        with _bar(progress) as bar, ThreadPoolExecutor(1) as judges:
            task = bar.add_task("generating", total=len(plan) * len(self._task.items), completed=len(self._judged))
            for planned in plan:
                bar.update(task, description=planned.name)
                applied[planned.name] = self._dosed(planned, plan[0])
                for chunk in self._chunks:
                    self._finish(planned, applied[planned.name], chunk, judges)
                    self._settle(1, bar, task)
            self._settle(0, bar, task)
        self._folder.write(DOSES, self._doses)
        return applied

    def _finish(self, planned: Planned, steering: Steering, chunk: Chunk, judges: ThreadPoolExecutor) -> None:
        missing = [item for item in chunk.items if (planned.name, item.index) not in self._judged]
        if (planned.name, chunk.index) not in self._made:
            self._make(planned, steering, chunk)
        if missing:
            self._waiting.append(judges.submit(self._judge, planned, chunk, missing))

    def _settle(self, most: int, bar: Progress, task: TaskID) -> None:
        """Write down what has been judged, until at most so many batches wait."""
        while len(self._waiting) > most:
            lines = self._waiting.popleft().result()
            self._folder.append(SAMPLES, lines)
            bar.advance(task, len(lines))

    def _make(self, planned: Planned, steering: Steering, chunk: Chunk) -> None:
        files, made = self._task.make(planned, steering, chunk.items)
        for name, data in files.items():
            self._folder.write_bytes(name, data)
        # Only now: a line in this log promises that the files are there.
        line = {"condition": planned.name, "chunk": chunk.index, "files": list(files), **made}
        self._folder.append(CHUNKS, [line])
        self._made[planned.name, chunk.index] = line

    def _judge(self, planned: Planned, chunk: Chunk, items: Sequence[Any]) -> Lines:
        outputs, wanted = self._outputs(planned, chunk), {item.index for item in items}
        return [
            {"condition": planned.name, ITEM: item.index} | self._task.line(self._folder.path, planned, item, output)
            for item, output in zip(chunk.items, outputs, strict=True)
            if item.index in wanted
        ]

    def _outputs(self, planned: Planned, chunk: Chunk) -> Sequence[Any]:
        """What the log holds of a batch that was made; None for each item where files hold it all."""
        line = self._made[planned.name, chunk.index]
        return line.get("outputs") or [None] * len(chunk.items)

    def _dosed(self, planned: Planned, first: Planned) -> Steering:
        """The steering as it is applied; its dose is measured once and kept."""
        if planned.condition is None:
            return planned.steering
        name = planned.condition.name
        if name not in self._doses:
            self._doses[name] = self._measured(planned, first)
            self._folder.write(DOSES, self._doses)
        factor = self._doses[name]["factor"]
        return planned.steering if factor is None else planned.steering.scaled(factor)

    def _measured(self, planned: Planned, first: Planned) -> dict[str, float | None]:
        """The factor of a condition's strengths, and how far it then moves the model: nats a token, None unmeasured."""
        assert planned.condition is not None
        adapter, samples, steering = self._task.adapter, self._contexts(first), planned.steering
        factor, wanted = None, planned.condition.kl
        if self._factors is not None:
            factor = self._factors[planned.condition.name]
        elif wanted is not None:
            factor = calibrate(adapter, steering, samples, wanted, guidance=self._task.guidance).factor
        steering = steering if factor is None else steering.scaled(factor)
        if not samples or not steering.attributes:
            return {"factor": factor, "kl": None}
        moved = divergence(adapter, steering, samples, guidance=self._task.guidance)
        return {"factor": factor, "kl": float(moved.mean())}

    def _contexts(self, first: Planned) -> list[Sample]:
        """Unsteered outputs, which are generated before everything else."""
        if first.kind != UNSTEERED:
            return []
        made = [output for chunk in self._chunks for output in self._outputs(first, chunk)]
        return self._task.contexts(self._folder.path, first, self._task.items[:CONTEXTS], made[:CONTEXTS])


def _whole_chunks(folder: RunFolder) -> dict[tuple[str, int], dict[str, Any]]:
    """The batches whose outputs are all there, as they were made; the others are taken from the log."""
    lines = folder.lines(CHUNKS)
    whole = [line for line in lines if folder.has(*line["files"])]
    if len(whole) < len(lines):
        folder.keep(CHUNKS, whole)
    return {(line["condition"], line["chunk"]): line for line in whole}


def _bar(shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not shown)
