"""What a run will take, before it is paid for: a piece of each kind is done and timed, and the others are counted."""

import math
import pickle
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from mmsteer.latents.finder import record_features
from mmsteer.recipes.contrasts import CONTROLS, samples_of
from mmsteer.recipes.dictionaries import dictionary_of
from mmsteer.recipes.experiment import TEST, VALIDATION, Experiment, shaped
from mmsteer.recipes.finding import PART
from mmsteer.recipes.pieces import GeneratedBatch, chunks_of
from mmsteer.recipes.plan import Planned, Planner
from mmsteer.recipes.rows.data import rows_of
from mmsteer.recipes.rows.schema import RewardedOutputs, SystemPairs
from mmsteer.recipes.schema import FoundDirections, SaeProbe
from mmsteer.recipes.searched import drafts
from mmsteer.recipes.task import Task
from mmsteer.record import record
from mmsteer.types import Activations, Positions, Sample, select_sites

READ = 16
"""Samples a forward of a recording."""


@dataclass(frozen=True)
class Cost:
    """One kind of piece.

    Attributes:
        what: What is done.
        pieces: How many there are.
        samples: Of them all.
        tokens: Of them all, at most.
        bytes: What they leave on the disk, while the run lasts.
        seconds: Of one.
    """

    what: str
    pieces: int
    samples: int
    tokens: int
    bytes: int
    seconds: float

    def hours(self, workers: int) -> float:
        """How long they take.

        Args:
            workers: That share them.
        """
        return math.ceil(self.pieces / workers) * self.seconds / 3600


@dataclass(frozen=True)
class Costs:
    """All that can be foreseen of a run.

    Attributes:
        parts: Its kinds of pieces.
        start: Seconds that a worker takes to begin.
        memory: Most bytes held at once while they were measured, on a card or else in this process; 0 unknown.
    """

    parts: tuple[Cost, ...]
    start: float
    memory: int

    def hours(self, workers: int) -> float:
        """How long all of it takes, one part after the other.

        Args:
            workers: That share each part.
        """
        return self.start / 3600 + sum(part.hours(workers) for part in self.parts)


def costs(experiment: Experiment, start: float) -> Costs:
    """Count and measure the pieces of a run.

    Args:
        experiment: The recipe and its model.
        start: Seconds that it took to prepare it.
    """
    return Costs(tuple(_parts(experiment)), start, _peak())


def _parts(experiment: Experiment) -> Iterator[Cost]:
    recipe, conditions = experiment.recipe, experiment.checked.conditions
    names: dict[str, Any] = {}
    for entry in recipe.directions:
        names |= shaped(entry, experiment.checked, experiment.task)
    kinds = [kind for kind in CONTROLS if getattr(recipe.controls, kind)]
    tried = conditions
    if recipe.choose:
        assert experiment.validation
        several = [conditions, list(chain(*drafts(recipe, conditions, names)))]
        plans = [Planner(True, 0, {}, recipe.seed).plan(some, names) for some in several if some]
        yield _generated(experiment, experiment.validation, VALIDATION, list(chain(*plans)))
        tried = conditions[: len(recipe.conditions) if recipe.choose.of == "each" else 1]
    plan = Planner(recipe.controls.unsteered, recipe.controls.random, dict.fromkeys(kinds, names), recipe.seed).plan(
        tried, names
    )
    made = _generated(experiment, experiment.task, TEST, plan)
    for entry in recipe.directions:
        if isinstance(entry, FoundDirections):
            yield _found(experiment, entry, 1 + len(kinds), made)
    yield made


def _generated(experiment: Experiment, task: Task, name: str, plan: Sequence[Planned]) -> Cost:
    """A steered batch, generated and judged."""
    one = next(one for one in plan if one.kind == "steered")
    began = time.perf_counter()
    made = GeneratedBatch(name, one, one.steering, 0, True).do(experiment.held)
    seconds = time.perf_counter() - began
    pieces, samples = len(plan) * len(chunks_of(task)), len(plan) * len(task.items)
    what = "generate and judge" + (" to choose" if name == VALIDATION else "")
    return Cost(what, pieces, samples, samples * task.steps, pieces * len(pickle.dumps(made)), seconds)


def _found(experiment: Experiment, entry: FoundDirections, times: int, made: Cost) -> Cost:
    """What is read for an entry, and for each of its controls."""
    if isinstance(entry.data, SystemPairs | RewardedOutputs):
        return _answered(entry, entry.data, times, made)
    data = samples_of(entry.data, experiment.adapter)
    some = data.samples[:READ]
    began = time.perf_counter()
    read = _read(experiment, entry, some)
    seconds = time.perf_counter() - began
    count = times * len(data.samples)
    each = sum(value[0].numel() * value.element_size() for value in read.values.values())
    tokens = next(iter(read.norms.values())).count * count // len(some)
    what = f"read for {entry.family}"
    if isinstance(entry.probe, SaeProbe):
        return Cost(what, times, count, tokens, each * count, seconds * len(data.samples) / len(some))
    parts = data.parts(PART) if data.averaged else [data]
    pieces = times * sum(math.ceil(len(part.samples) / READ) for part in parts)
    return Cost(what, pieces, count, tokens, each * count, seconds)


def _read(experiment: Experiment, entry: FoundDirections, some: Sequence[Sample]) -> Activations:
    adapter, positions = experiment.adapter, Positions(entry.positions)
    if isinstance(entry.probe, SaeProbe):
        dictionary = dictionary_of(entry, entry.probe, adapter)
        return record_features(adapter, dictionary, some, positions=positions, pool=entry.pool)
    sites = select_sites(entry.sites, adapter.widths)
    return record(adapter, some, sites, positions=positions, pool=entry.pool, batch=READ)


def _answered(entry: FoundDirections, data: SystemPairs | RewardedOutputs, times: int, made: Cost) -> Cost:
    """Answers of the model itself, one worker at a time; that they are read takes little beside."""
    each = len(data.systems) if isinstance(data, SystemPairs) else data.samples
    count = times * each * len(rows_of(data.prompts))
    tokens = count * (data.generate.tokens or 0)
    rate = made.seconds * made.pieces / made.tokens
    return Cost(f"answer for {entry.family}", times, count, tokens, 0, rate * tokens / times)


def _peak() -> int:
    if torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
