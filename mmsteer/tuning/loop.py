"""Training vectors step by step, so that a run that was stopped goes on as if it had not been."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from rich.progress import Progress
from torch import Tensor

from mmsteer import hooks
from mmsteer.errors import ProbeError
from mmsteer.folders import claimed, load_checkpoint, save_checkpoint
from mmsteer.ranks import Ranks
from mmsteer.tracking import Tracker
from mmsteer.tuning.step_log import StepLog
from mmsteer.tuning.vectors import AdditiveVectors

CHECKPOINT, LOG = "checkpoint.safetensors", "steps.jsonl"
BETAS = (0.9, 0.999)
MOST_RATE = 1e6
"""Far beyond any that trains; float32 can hold what a step of it adds."""


class Objective(Protocol):
    """What vectors are trained for."""

    def accumulate(
        self, vectors: AdditiveVectors, step: int, share: float, past: Sequence[Mapping[str, float]]
    ) -> Mapping[str, float]:
        """Add the gradient of one step to the vectors; in one of several processes, its part of the sum.

        What is drawn depends on the step alone, so that a run that goes on draws what it would have drawn, and any
        number of processes (`mmsteer.ranks.Ranks`) draw the same together.

        Args:
            vectors: What is trained.
            step: Which step, from 0.
            share: Of all steps that are done.
            past: Numbers of the steps before: what is carried from step to step stands in them, so that a run that goes
                on finds it in its log.

        Returns:
            Numbers of the step, such as its loss, the same in all processes.
        """


@dataclass(frozen=True)
class Schedule:
    """How the vectors are moved.

    Attributes:
        steps: How many steps.
        rate: Of Adam: about the share of a site's typical norm by which a step moves its vector.
        warm_up: Share of the steps in which the rate grows from zero.
        decay: Of the rate afterwards: `linear` to zero, or `constant`.
        clip: Largest norm of the gradient.
    """

    steps: int
    rate: float
    warm_up: float = 0.03
    decay: Literal["linear", "constant"] = "linear"
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.rate <= MOST_RATE:
            raise ProbeError(
                f"{self.steps} steps at a rate of {self.rate}: give one step or more, and a rate above 0, up to "
                f"{MOST_RATE:g}"
            )

    def rate_at(self, step: int) -> float:
        """The rate of a step.

        Args:
            step: From 0.

        >>> [round(Schedule(10, 1.0, warm_up=0.2).rate_at(step), 3) for step in (0, 1, 2, 9)]
        [0.5, 1.0, 1.0, 0.125]
        """
        warm = round(self.warm_up * self.steps)
        if step < warm:
            return self.rate * (step + 1) / warm
        return self.rate * ((self.steps - step) / (self.steps - warm) if self.decay == "linear" else 1.0)


def train(
    vectors: AdditiveVectors,
    objective: Objective,
    schedule: Schedule,
    *,
    settings: Mapping[str, Any],
    folder: Path | None = None,
    progress: bool = False,
    report_to: Sequence[Tracker] = (),
) -> list[dict[str, float]]:
    """Train vectors by AdamW without weight decay, everything else frozen.

    In a process group of torch each process calls this alike and takes a part of every step; the first one writes.

    Args:
        vectors: What is trained, from where it is.
        objective: What for.
        schedule: How.
        settings: What else the result depends on.
        folder: Holds the settings (`train.json`), a checkpoint after every step, and the log (`steps.jsonl`); training
            that was stopped goes on there.
        progress: Show a bar.
        report_to: What the numbers of each step are sent to, those that the log holds; steps before a stop are not sent
            again.

    Returns:
        The numbers of every step.

    Raises:
        ProbeError: The folder holds something else or is damaged, another process runs there, or a gradient is not
            finite.
        RanksError: A step has fewer outputs, pairs or prompts than there are processes, or another process has died.
        EndedElsewhere: Another process failed.
    """
    ranks = Ranks()
    if not ranks.first:
        folder, progress, report_to = None, False, ()
    optimiser = torch.optim.AdamW(vectors.parameters(), lr=schedule.rate, betas=BETAS, weight_decay=0.0)
    told = {**settings, "schedule": asdict(schedule)}
    with (
        ranks.fail_together(),
        nullcontext() if folder is None else claimed(folder, "train.json", told, "training", ProbeError),
        Progress(disable=not progress) as bar,
        hooks.frozen(vectors.where.adapter.model),
    ):
        log = _resumed(vectors, optimiser, folder)
        log.steps, begun = ranks.all_gather((log.steps, _state(vectors, optimiser)))[0]
        _set_state(vectors, optimiser, begun)
        task = bar.add_task("training", total=schedule.steps, completed=len(log.steps))
        for step in range(len(log.steps), schedule.steps):
            # The log first: the checkpoint says which of its lines count.
            log.add(_step(vectors, objective, schedule, optimiser, ranks, step, log.steps))
            if folder is not None:
                _keep(vectors, optimiser, log, folder)
            _report(report_to, log.steps[-1])
            bar.update(task, advance=1, description=_words(log.steps[-1]))
    return log.steps


def _step(
    vectors: AdditiveVectors,
    objective: Objective,
    schedule: Schedule,
    optimiser: torch.optim.Optimizer,
    ranks: Ranks,
    step: int,
    past: Sequence[Mapping[str, float]],
) -> dict[str, float]:
    optimiser.zero_grad()
    for group in optimiser.param_groups:
        group["lr"] = schedule.rate_at(step)
    numbers = objective.accumulate(vectors, step, step / schedule.steps, past)
    vectors.reduce_gradients(ranks)
    norm = float(torch.nn.utils.clip_grad_norm_(vectors.parameters(), schedule.clip))
    if not math.isfinite(norm):
        raise ProbeError(f"step {step}: the gradient is not finite; train at a smaller rate, or in float32")
    optimiser.step()
    vectors.constrain()
    return {"step": step, **numbers, "gradient": norm, "length": sum(vectors.lengths().values())}


def _report(trackers: Sequence[Tracker], numbers: Mapping[str, float]) -> None:
    values = {name: value for name, value in numbers.items() if name != "step"}
    for tracker in trackers:
        tracker.log(int(numbers["step"]), values)


def _words(numbers: Mapping[str, float]) -> str:
    shown = [f"{name} {value:.3g}" for name, value in numbers.items() if name in ("loss", "reward", "kl")]
    return "training " + ", ".join(shown)


def _keep(vectors: AdditiveVectors, optimiser: torch.optim.Optimizer, log: StepLog, folder: Path) -> None:
    told = {"steps": len(log.steps), "log": log.digest}
    save_checkpoint(folder / CHECKPOINT, told, _state(vectors, optimiser))


def _resumed(vectors: AdditiveVectors, optimiser: torch.optim.Optimizer, folder: Path | None) -> StepLog:
    if folder is None or not (folder / CHECKPOINT).exists():
        return StepLog(folder and folder / LOG)
    told, tensors = load_checkpoint(folder / CHECKPOINT, ProbeError)
    _set_state(vectors, optimiser, tensors)
    return StepLog(folder / LOG, told["steps"], told["log"])


def _state(vectors: AdditiveVectors, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = dict(vectors.state_dict())
    for at, part in enumerate(vectors.parameters()):
        moments = optimiser.state.get(part, {})
        tensors |= {f"adam.{at}.{name}": value for name, value in moments.items()}
    return tensors


def _set_state(vectors: AdditiveVectors, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    moments = {name: value for name, value in tensors.items() if name.startswith("adam.")}
    vectors.load_state_dict({name: value for name, value in tensors.items() if name not in moments})
    for at, part in enumerate(vectors.parameters()):
        state = _moments(moments, at)
        if state:
            optimiser.state[part] = state


def _moments(moments: Mapping[str, Tensor], at: int) -> dict[str, Tensor]:
    start = f"adam.{at}."
    return {name.removeprefix(start): value for name, value in moments.items() if name.startswith(start)}
