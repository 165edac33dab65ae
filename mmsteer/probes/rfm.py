"""Recursive feature machines with a search over their settings."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.fitted import Fitted, Json, Progress, check_states, judge
from mmsteer.probes.kernel import Setting
from mmsteer.probes.machine import Machine, Points, Quality, learn, unit_trace
from mmsteer.probes.metrics import auc
from mmsteer.probes.space import Unit, span_of
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import Labels, Task, encode


@dataclass(frozen=True)
class Ranges:
    """What the search draws from. The defaults are MusicRFM's per-layer ranges.

    Attributes:
        bandwidth: Ends of a log-uniform draw.
        exponent: Ends of a uniform draw.
        ridge: Ends of a log-uniform draw.
        centre: Values of a fair draw.

    Source: Zhao et al. 2025, arXiv:2510.19127, table 7.
    """

    bandwidth: tuple[float, float] = (1.0, 100.0)
    exponent: tuple[float, float] = (0.7, 1.4)
    ridge: tuple[float, float] = (1e-5, 10.0)
    centre: tuple[bool, ...] = (False, True)

    def draw(self, random: np.random.Generator) -> Setting:
        """One setting.

        Args:
            random: Where the randomness comes from.
        """
        return Setting(
            bandwidth=_log_uniform(random, *self.bandwidth),
            exponent=random.uniform(*self.exponent),
            ridge=_log_uniform(random, *self.ridge),
            centre=bool(random.choice(self.centre)),
        )


@dataclass(frozen=True)
class RFM:
    """Top eigenvector of the average gradient outer product of a kernel machine with a learned metric.

    Attributes:
        draws: How many settings the search tries.
        iterations: How often a draw may update its metric.
        ranges: What the search draws from.
        settings: Settings to try instead of a search.
        unit: Unit of the bandwidth: `median` or `absolute`, see `span_of`.
        seed: Seed of the search and of the split by source.

    Source: Radhakrishnan et al. 2024, arXiv:2212.13881; the search is MusicRFM's, arXiv:2510.19127.
    """

    draws: int = 20
    iterations: int = 15
    ranges: Ranges = field(default_factory=Ranges)
    settings: tuple[Setting, ...] = ()
    unit: Unit = "median"
    seed: int = 0

    def fit(
        self,
        x: Tensor,
        y: Labels,
        *,
        task: Task,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Fitted:
        """See `Probe.fit`.

        Args:
            x: Hidden states, (n, width).
            y: One label a sample.
            task: What kind of question the labels answer.
            groups: The source of each sample.
            progress: Called with the fraction that is done.

        Raises:
            ProbeError: The data cannot carry a probe.
        """
        targets = encode(y, task)
        states = check_states(x, len(targets.columns))
        split = split_by_source(targets, groups, self.seed)
        train, validation = (states[rows.to(x.device)] for rows in (split.train, split.validation))
        points = Points.of(span_of(train, self.unit), train, validation)
        columns = targets.columns.to(x.device)
        offset, spread = _scale(columns[split.train], task)
        wanted = (columns - offset) / spread
        quality = _quality(wanted[split.validation], task)
        machine = self._search(points, wanted[split.train], quality, progress)
        directions = machine_directions(machine, wanted[split.train])
        settings = self._settings(machine, task)
        return judge(states, targets, split, directions, lambda new: machine(new) * spread + offset, settings)

    def _tries(self) -> Sequence[Setting]:
        random = np.random.default_rng(self.seed)
        tries = self.settings or [self.ranges.draw(random) for _ in range(self.draws)]
        if not tries:
            raise ProbeError(f"draws={self.draws} and no settings: there is nothing to try")
        return tries

    def _search(self, points: Points, columns: Tensor, quality: Quality, progress: Progress | None) -> Machine:
        best: Machine | None = None
        tries = self._tries()
        for done, setting in enumerate(tries, start=1):
            normalise = unit_trace(len(points.space.mean))
            machine = learn(points, columns, setting, self.iterations, quality, normalise)
            if best is None or machine.quality > best.quality:
                best = machine
            if progress:
                progress(done / len(tries))
        assert best is not None
        return best

    def _settings(self, machine: Machine, task: Task) -> dict[str, Json]:
        return {
            "probe": "rfm",
            **asdict(self),
            "task": task,
            "chosen": asdict(machine.setting),
            "rounds": machine.rounds,
            "validation": machine.quality,
            "scale": machine.points.space.scale,
        }


def machine_directions(machine: Machine, columns: Tensor) -> Tensor:
    """Top eigenvector of each output's AGOP, pointing to growing targets, (width, labels).

    The AGOP is not centred here, whatever the metric was learned from: the mean gradient, which centring
    removes, is the direction in which the concept grows.

    Args:
        machine: The best predictor.
        columns: Targets of its training points, centred, (n, labels).
    """
    gradients = machine.gradients()
    vectors = torch.stack(
        [torch.linalg.eigh(gradients.outer(k).double()).eigenvectors[:, -1] for k in range(columns.shape[1])], dim=1
    ).to(columns)
    sign = ((machine.points.train @ vectors) * columns).sum(dim=0).sign()
    whole = machine.points.space.leave(vectors * sign)
    return whole / whole.norm(dim=0)


def _log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    return math.exp(random.uniform(math.log(low), math.log(high)))


def _scale(columns: Tensor, task: Task) -> tuple[Tensor, Tensor]:
    """Offset and spread of the targets: all are centred, values are z-scored, (labels,) each."""
    spread = columns.std(dim=0) if task == "regression" else torch.ones_like(columns[0])
    return columns.mean(dim=0), spread


def _quality(truth: Tensor, task: Task) -> Quality:
    """Validation quality: mean AUC over the labels, or for values the inverse of the mean squared error."""
    if task == "regression":
        return lambda scores: 1 / (float((scores - truth).square().mean()) + 1e-12)
    member = (truth > 0).to(truth)  # centred membership is positive for members alone
    return lambda scores: sum(auc(scores[:, k], member[:, k]) for k in range(truth.shape[1])) / truth.shape[1]
