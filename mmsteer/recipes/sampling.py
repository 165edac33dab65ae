"""The loop of a run: workers generate what is missing, while a second thread judges what is there and unjudged."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mmsteer.recipes.folder import CHUNKS, SAMPLES, RunFolder
from mmsteer.recipes.pieces import Chunk, GeneratedBatch, Lines, Made, MeasuredDose, chunks_of, judge, outputs_of
from mmsteer.recipes.plan import UNSTEERED, Planned
from mmsteer.recipes.scoring import ITEM
from mmsteer.recipes.task import Task
from mmsteer.steering import Steering
from mmsteer.types import Sample
from mmsteer.workers import Workers

DOSES = "doses.json"
CONTEXTS = 4
"""Unsteered outputs along which the divergence is measured."""


class Sampler:
    """Generates and judges everything of a plan that the folder does not hold yet."""

    def __init__(
        self,
        task: Task,
        folder: RunFolder,
        factors: Mapping[str, float | None] | None,
        workers: Workers,
        name: str,
    ) -> None:
        """Take up what the folder holds.

        Args:
            task: What is generated and scored.
            folder: Where everything is kept.
            factors: For each condition the factor of its strengths, where that is known already.
            workers: What generates.
            name: Of the task among those that workers have.
        """
        self._task = task
        self._folder = folder
        self._workers, self._name = workers, name
        self._chunks = chunks_of(task)
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
        with progress_bar(progress) as bar, ThreadPoolExecutor(1) as judges:
            task = bar.add_task("generating", total=len(plan) * len(self._task.items), completed=len(self._judged))
            # Doses are measured along the unsteered outputs, and everything else is generated at its dose.
            for some in (plan[:1], plan[1:]):
                bar.update(task, description="measuring doses")
                self._measure([one for one in some if one.kind == "steered"], plan[0])
                for planned, chunk in self._finished(some):
                    bar.update(task, description=planned.name)
                    self._judge_missing(planned, chunk, judges)
                    self._settle(1, bar, task)
            self._settle(0, bar, task)
        self._folder.write(DOSES, {one.name: self._doses[one.name] for one in plan if one.name in self._doses})
        self._order(plan)
        return {one.name: self._dosed(one) for one in plan}

    def _finished(self, plan: Sequence[Planned]) -> Iterator[tuple[Planned, Chunk]]:
        """Every batch once it is made: first what was made before, whose items may still be unjudged."""
        rows = [(one, chunk) for one in plan for chunk in self._chunks]
        yield from [row for row in rows if self._key(*row) in self._made]
        left = [row for row in rows if self._key(*row) not in self._made]
        pieces = (
            GeneratedBatch(self._name, one, self._dosed(one), chunk.index, self._workers.apart) for one, chunk in left
        )
        for piece, made in self._workers.map(pieces):
            self._keep(made)
            yield piece.planned, self._chunks[piece.index]

    def _key(self, planned: Planned, chunk: Chunk) -> tuple[str, int]:
        return planned.name, chunk.index

    def _keep(self, made: Made) -> None:
        for name, data in made.files.items():
            self._folder.write_bytes(name, data)
        # Only now: a line in this log promises that the files are there.
        self._folder.append(CHUNKS, [made.line])
        self._made[made.line["condition"], made.line["chunk"]] = made.line
        self._keep_lines(made.judged or [])

    def _keep_lines(self, lines: Lines) -> None:
        missing = [line for line in lines if (line["condition"], line[ITEM]) not in self._judged]
        if missing:
            self._folder.append(SAMPLES, missing)
        self._judged |= {(line["condition"], line[ITEM]) for line in missing}

    def _judge_missing(self, planned: Planned, chunk: Chunk, judges: ThreadPoolExecutor) -> None:
        items = tuple(item for item in chunk.items if (planned.name, item.index) not in self._judged)
        if items:
            line = self._made[self._key(planned, chunk)]
            self._waiting.append(judges.submit(judge, self._task, self._folder.path, planned, chunk, line))

    def _settle(self, most: int, bar: Progress, task: TaskID) -> None:
        """Write down what has been judged, until at most so many batches wait."""
        while len(self._waiting) > most:
            self._keep_lines(self._waiting.popleft().result())
        bar.update(task, completed=len(self._judged))

    def _measure(self, conditions: Sequence[Planned], first: Planned) -> None:
        """Measure the doses that are not known; each is kept at once."""
        left = [one for one in conditions if one.name not in self._doses]
        contexts = self._contexts(first) if left else []
        factors = self._factors or {}
        pieces = [MeasuredDose(self._name, one, self._factors is None, factors.get(one.name), contexts) for one in left]
        for piece, dose in self._workers.map(pieces):
            self._doses[piece.planned.name] = dose
            self._folder.write(DOSES, self._doses)

    def _dosed(self, planned: Planned) -> Steering:
        """The steering as it is applied."""
        factor = self._doses[planned.condition.name]["factor"] if planned.condition else None
        return planned.steering if factor is None else planned.steering.scaled(factor)

    def _contexts(self, first: Planned) -> list[Sample]:
        """Unsteered outputs, which are generated before everything else."""
        if first.kind != UNSTEERED:
            return []
        made = [output for chunk in self._chunks for output in outputs_of(chunk, self._made[self._key(first, chunk)])]
        return self._task.contexts(self._folder.path, first, self._task.items[:CONTEXTS], made[:CONTEXTS])

    def _order(self, plan: Sequence[Planned]) -> None:
        """Put the logs into the order of the plan, whoever was first, so that equal runs have equal folders."""
        places = {one.name: place for place, one in enumerate(plan)}

        def place(line: dict[str, Any]) -> tuple[int, int]:
            return places[line["condition"]], line[ITEM] if ITEM in line else line["chunk"]

        for log in (CHUNKS, SAMPLES):
            lines = self._folder.lines(log)
            ordered = sorted(lines, key=place)
            if ordered != lines:
                self._folder.keep(log, ordered)


def _whole_chunks(folder: RunFolder) -> dict[tuple[str, int], dict[str, Any]]:
    """The batches whose outputs are all there, as they were made; the others are taken from the log."""
    lines = folder.lines(CHUNKS)
    whole = [line for line in lines if folder.has(*line["files"])]
    if len(whole) < len(lines):
        folder.keep(CHUNKS, whole)
    return {(line["condition"], line["chunk"]): line for line in whole}


def progress_bar(shown: bool) -> Progress:
    """What is running, how much of it is done, and how long it takes.

    `shown`: False for a bar that nobody sees.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not shown)
