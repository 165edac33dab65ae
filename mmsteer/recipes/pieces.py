"""The pieces of a run: a batch that is generated and judged, and a dose that is measured."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsteer.atomic import write_atomically
from mmsteer.calibrate import calibrate, divergence
from mmsteer.recipes.plan import Planned
from mmsteer.recipes.scoring import ITEM
from mmsteer.recipes.task import Task
from mmsteer.steering import Steering
from mmsteer.types import Sample
from mmsteer.word_pushes import word_pushes
from mmsteer.workers import Held

Lines = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Chunk:
    """A batch of items under one condition; always the same items, whatever was done before.

    `index`: its place.
    """

    index: int
    items: tuple[Any, ...]


def chunk_of(task: Task, index: int) -> Chunk:
    """A batch of a task, by its place."""
    return Chunk(index, tuple(task.items[index * task.chunk : (index + 1) * task.chunk]))


def chunks_of(task: Task) -> tuple[Chunk, ...]:
    """The items of a task in batches."""
    return tuple(chunk_of(task, index) for index in range(math.ceil(len(task.items) / task.chunk)))


@dataclass(frozen=True, eq=False)
class Made:
    """A batch that was generated.

    Attributes:
        files: What is to be written.
        line: The batch's line of the log.
        judged: The lines of its items; None where they are still to be judged.
    """

    files: Mapping[str, bytes]
    line: dict[str, Any]
    judged: Lines | None


@dataclass(frozen=True, eq=False)
class GeneratedBatch:
    """Generate a batch of a task.

    Attributes:
        task: The task's name.
        planned: The condition.
        steering: What is applied.
        index: Of the batch.
        judged: Whether its items are judged where it is made, away from the run folder.
    """

    task: str
    planned: Planned
    steering: Steering
    index: int
    judged: bool

    def do(self, held: Held) -> Made:
        """The batch."""
        task: Task = held.task(self.task)
        chunk = chunk_of(task, self.index)
        files, made = task.make(self.planned, self.steering, chunk.items)
        line = {"condition": self.planned.name, "chunk": self.index, "files": list(files), **made}
        return Made(files, line, self._judged(task, chunk, files, line) if self.judged else None)

    def _judged(self, task: Task, chunk: Chunk, files: Mapping[str, bytes], line: Mapping[str, Any]) -> Lines:
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                write_atomically(Path(folder) / name, data)
            return judge(task, Path(folder), self.planned, chunk, line)

    def __str__(self) -> str:
        return f"{self.planned.name}, batch {self.index}"


def judge(task: Task, path: Path, planned: Planned, chunk: Chunk, line: Mapping[str, Any]) -> Lines:
    """The lines of a batch's items.

    Args:
        task: What judges them.
        path: The folder of the batch's files.
        planned: The condition.
        chunk: The batch.
        line: Its line of the log.
    """
    return [
        {"condition": planned.name, ITEM: item.index} | task.line(path, planned, item, output)
        for item, output in zip(chunk.items, outputs_of(chunk, line), strict=True)
    ]


def outputs_of(chunk: Chunk, line: Mapping[str, Any]) -> Sequence[Any]:
    """What the log holds of a batch that was made; None for each item where files hold it all."""
    return line.get("outputs") or [None] * len(chunk.items)


@dataclass(frozen=True, eq=False)
class MeasuredDose:
    """Measure how far a condition moves the model: the factor of its strengths, and nats a token, None unmeasured.

    Directions of each picture are not known before it is shown, so what they move is not measured.

    Attributes:
        task: The task's name.
        planned: The condition.
        calibrated: Whether the factor is to be found, where the condition asks for a divergence.
        factor: Where that is known already.
        contexts: Unsteered outputs along which the divergence is measured.
    """

    task: str
    planned: Planned
    calibrated: bool
    factor: float | None
    contexts: Sequence[Sample]

    def do(self, held: Held) -> dict[str, float | None]:
        """The factor of the strengths, and the divergence."""
        assert self.planned.condition is not None
        task: Task = held.task(self.task)
        steering, factor, wanted = self.planned.steering, self.factor, self.planned.condition.kl
        if self.calibrated and wanted is not None:
            dose = calibrate(held.adapter, steering, self.contexts, wanted, guidance=task.guidance, steps=task.steps)
            factor = dose.factor
        steering = steering if factor is None else steering.scaled(factor)
        if not self.contexts or not steering.attributes or self.planned.own["per_image"]:
            return {"factor": factor, "kl": None}
        moved = divergence(held.adapter, steering, self.contexts, guidance=task.guidance, steps=task.steps)
        return {"factor": factor, "kl": float(moved.mean())}

    def __str__(self) -> str:
        return f"{self.planned.name}, its dose"


@dataclass(frozen=True, eq=False)
class ReadPushes:
    """Read some outputs of a condition again: how far each of their words was pushed.

    Attributes:
        planned: The condition.
        steering: What was applied.
        outputs: Prompts with outputs.
        steps: Most steps of an output.
    """

    planned: Planned
    steering: Steering
    outputs: Sequence[Sample]
    steps: int

    def do(self, held: Held) -> list[list[float]]:
        """For each output a number a word."""
        return word_pushes(held.adapter, self.steering, self.outputs, steps=self.steps)

    def __str__(self) -> str:
        return f"{self.planned.name}, its words"
