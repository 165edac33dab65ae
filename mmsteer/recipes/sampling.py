"""The loop of a run: generates what is missing while a second thread judges what is there."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mmsteer.eval.audio import read_audio
from mmsteer.recipes.data import Prompt
from mmsteer.recipes.experiment import Experiment
from mmsteer.recipes.folder import CHUNKS, SAMPLES, RunFolder
from mmsteer.recipes.generation import (
    CONTEXTS,
    Chunk,
    calibrated,
    chunks_of,
    contexts,
    generate_chunk,
    mean_divergence,
)
from mmsteer.recipes.judging import ADHERENCE, adherence, judge, needed
from mmsteer.recipes.plan import Planned
from mmsteer.steering import Steering
from mmsteer.types import Sample

DOSES = "doses.json"
Lines = list[dict[str, Any]]


class Sampler:
    """Generates and judges every clip of a plan that the folder does not hold yet."""

    def __init__(self, experiment: Experiment, folder: RunFolder, plan: Sequence[Planned]) -> None:
        self._experiment = experiment
        self._recipe = experiment.recipe
        self._folder = folder
        self._plan = plan
        self._judged = {(line["condition"], line["prompt"]) for line in folder.lines(SAMPLES)}
        self._made = {(line["condition"], line["chunk"]) for line in folder.lines(CHUNKS)}
        self._doses: dict[str, dict[str, float | None]] = folder.read(DOSES) if folder.has(DOSES) else {}
        self._waiting: deque[Future[Lines]] = deque()

    def run(self, *, progress: bool) -> dict[str, Steering]:
        """Finish the plan; the steering of each condition as it was applied.

        Args:
            progress: Show what is running and how long it takes.
        """
        applied = {}
        chunks = chunks_of(self._experiment.prompts, self._recipe.generate.batch)
        with _bar(progress) as bar, ThreadPoolExecutor(1) as judges:
            total = len(self._plan) * len(self._experiment.prompts)
            task = bar.add_task("generating", total=total, completed=len(self._judged))
            for planned in self._plan:
                bar.update(task, description=planned.name)
                applied[planned.name] = self._dosed(planned)
                for chunk in chunks:
                    self._finish(planned, applied[planned.name], chunk, judges)
                    self._settle(1, bar, task)
            self._settle(0, bar, task)
        self._folder.write(DOSES, self._doses)
        return applied

    def _finish(self, planned: Planned, steering: Steering, chunk: Chunk, judges: ThreadPoolExecutor) -> None:
        missing = [prompt for prompt in chunk.prompts if (planned.name, prompt.index) not in self._judged]
        if missing and (planned.name, chunk.index) not in self._made:
            self._make(planned, steering, chunk)
        if missing:
            self._waiting.append(judges.submit(self._judge, planned, missing))

    def _settle(self, most: int, bar: Progress, task: TaskID) -> None:
        """Write down what has been judged, until at most so many batches wait."""
        while len(self._waiting) > most:
            lines = self._waiting.popleft().result()
            self._folder.append(SAMPLES, lines)
            bar.advance(task, len(lines))

    def _make(self, planned: Planned, steering: Steering, chunk: Chunk) -> None:
        files, receipt = generate_chunk(self._experiment.adapter, steering, chunk, self._recipe.generate)
        for prompt, data in zip(chunk.prompts, files, strict=True):
            self._folder.write_bytes(_audio(planned, prompt), data)
        # Only now: a line in this log promises that the audio is there.
        self._folder.append(CHUNKS, [{"condition": planned.name, "chunk": chunk.index, "receipt": receipt}])

    def _judge(self, planned: Planned, prompts: Sequence[Prompt]) -> Lines:
        return [self._line(planned, prompt) for prompt in prompts]

    def _line(self, planned: Planned, prompt: Prompt) -> dict[str, Any]:
        evaluate = self._recipe.evaluate
        readings = judge(self._folder.path / _audio(planned, prompt), needed(evaluate))
        return {
            "condition": planned.name,
            "prompt": prompt.index,
            "text": prompt.text,
            "seed": prompt.seed,
            "target": planned.to_json()["target"],
            "audio": _audio(planned, prompt),
            "readings": readings,
            "adherence": adherence(readings, prompt.truth) if ADHERENCE in evaluate else None,
        }

    def _dosed(self, planned: Planned) -> Steering:
        """The steering as it is applied; its dose is measured once and kept."""
        if planned.condition is None:
            return planned.steering
        name = planned.condition.name
        if name not in self._doses:
            self._doses[name] = self._measured(planned)
            self._folder.write(DOSES, self._doses)
        factor = self._doses[name]["factor"]
        return planned.steering if factor is None else planned.steering.scaled(factor)

    def _measured(self, planned: Planned) -> dict[str, float | None]:
        guidance, adapter = self._recipe.generate.guidance, self._experiment.adapter
        target = planned.condition.kl if planned.condition else None
        samples = self._contexts()
        steering, factor = calibrated(adapter, planned.steering, samples, target, guidance)
        return {"factor": factor, "kl": mean_divergence(adapter, steering, samples, guidance)}

    def _contexts(self) -> list[Sample]:
        """Unsteered clips, which are generated before everything else."""
        first = self._plan[0]
        if first.kind != "unsteered":
            return []
        prompts = self._experiment.prompts[:CONTEXTS]
        clips = [(prompt, read_audio(self._folder.path / _audio(first, prompt)).samples) for prompt in prompts]
        return contexts(clips)


def _audio(planned: Planned, prompt: Prompt) -> str:
    """Where a clip lies in the run folder."""
    return f"audio/{planned.folder}/{prompt.index:02d}.flac"


def _bar(shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not shown)
