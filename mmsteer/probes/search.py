"""The search over the settings of a recursive feature machine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mmsteer.probes.bounds import Positive
from mmsteer.probes.fitted import Progress
from mmsteer.probes.kernel import Setting
from mmsteer.probes.metrics import auc
from mmsteer.probes.rfm_model import Machine, Points, Quality, directions_of, fixed_trace, learn
from mmsteer.probes.targets import TargetKind

# With every training point a centre a machine takes n² numbers and n³ steps: 3 GB and a minute a round here.
EXACT = 20_000
CENTRES = 8_192


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

    bandwidth: tuple[Positive, Positive] = (1.0, 100.0)
    exponent: tuple[Positive, Positive] = (0.7, 1.4)
    ridge: tuple[Positive, Positive] = (1e-5, 10.0)
    centre: Annotated[tuple[bool, ...], Field(min_length=1)] = (False, True)

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


@dataclass(frozen=True, eq=False)
class Wanted:
    """Targets on the scale of the fit: centred, and z-scored when they are values.

    `train`: (n, labels).
    `validation`: (m, labels).
    """

    train: Tensor
    validation: Tensor

    def of_training(self, rows: Tensor) -> "Wanted":
        """The same with some of the training points.

        `rows`: which, (rows,) int64.
        """
        return Wanted(self.train[rows], self.validation)


@dataclass(frozen=True)
class Search:
    """How the best machine is looked for.

    Attributes:
        tries: The settings, at least one.
        iterations: How often each may update its metric.
        screen: Most training points that settings are compared on; the best one is then fitted to all of them.
        seed: Seed of the choice of these points, and of the centres.
        centres: Most training points that the kernel is centred at; None for all of up to `EXACT`, else for `CENTRES`.
    """

    tries: Sequence[Setting]
    iterations: int
    screen: int
    seed: int
    centres: int | None = None

    def best(self, points: Points, wanted: Wanted, task: TargetKind, progress: Progress | None) -> Machine:
        """The best machine of all settings that are tried, by its validation quality.

        Args:
            points: Training and validation points; their distances are shared by all settings.
            wanted: Their targets.
            task: What kind of question the labels answer.
            progress: Called with the fraction that is done.
        """
        fits = _Fits(self.iterations, task, progress)
        whole = self._centred(points, wanted)
        if len(self.tries) == 1 or len(points.train) <= self.screen:
            return fits.best(whole, wanted, self.tries, of=len(self.tries))
        rows = spread_rows(wanted.train, self.screen, self.seed)
        chosen = fits.best(points.of_training(rows), wanted.of_training(rows), self.tries, of=len(self.tries) + 1)
        return fits.best(whole, wanted, [chosen.setting], of=1)

    def _centred(self, points: Points, wanted: Wanted) -> Points:
        count = self.centres or (CENTRES if len(points.train) > EXACT else EXACT)
        if len(points.train) <= count:
            return points
        return points.centred(spread_rows(wanted.train, count, self.seed))


@dataclass(frozen=True)
class _Fits:
    """Machines for one set of targets."""

    iterations: int
    task: TargetKind
    progress: Progress | None

    def best(self, points: Points, wanted: Wanted, tries: Sequence[Setting], of: int) -> Machine:
        """The best machine of some settings, which are the first of so many fits."""
        normalise, quality = fixed_trace(len(points.space.mean)), _quality(wanted.validation, self.task)
        ceiling = math.inf if self.task == "regression" else 1.0  # of an AUC
        best: _Candidate | None = None
        for done, setting in enumerate(tries, start=1):
            machine = learn(points, wanted.train, setting, self.iterations, quality, normalise, ceiling)
            candidate = _Candidate(machine, wanted)
            if best is None or candidate.beats(best):
                best = candidate
            if self.progress and done < of:  # the last one is still to be judged
                self.progress(done / of)
        assert best is not None
        return best.machine


def spread_rows(columns: Tensor, count: int, seed: int) -> Tensor:
    """Some training points in which every label and every range of values has its share, (count,) int64, sorted.

    Args:
        columns: Targets, (n, labels).
        count: How many points, at most n.
        seed: Decides between points with the same targets.
    """
    shuffled = torch.randperm(len(columns), generator=torch.Generator().manual_seed(seed)).to(columns.device)
    key = columns[:, 0] if columns.shape[1] == 1 else columns.argmax(dim=1)
    order = shuffled[key[shuffled].argsort(stable=True)]
    places = (torch.arange(count, device=columns.device) * (len(columns) / count)).long()
    return order[places].sort().values


class _Candidate:
    """A machine in the search, better by validation quality, and among equals by the gap along its directions.

    Many settings reach an AUC of 1 on an easy concept while their directions differ. Of those, the one along
    which held-out classes lie farthest apart steers with the shortest vector: on planted mean shifts it raised
    the mean cosine with the truth from .850 to .872, and elsewhere it changes little.
    """

    def __init__(self, machine: Machine, wanted: Wanted) -> None:
        self.machine = machine
        self._wanted = wanted

    def beats(self, other: "_Candidate") -> bool:
        mine, theirs = round(self.machine.quality, 3), round(other.machine.quality, 3)
        return mine > theirs if mine != theirs else self._gap > other._gap

    @cached_property
    def _gap(self) -> float:
        directions = directions_of(self.machine, self._wanted.train)
        return float(((self.machine.points.validation @ directions) * self._wanted.validation).mean())


def _log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    return math.exp(random.uniform(math.log(low), math.log(high)))


def _quality(truth: Tensor, task: TargetKind) -> Quality:
    """Validation quality: mean AUC over the labels, or for values the inverse of the mean squared error."""
    if task == "regression":
        return lambda scores: 1 / (float((scores - truth).square().mean()) + 1e-12)
    member = (truth > 0).to(truth)  # centred membership is positive for members alone
    return lambda scores: sum(auc(scores[:, k], member[:, k]) for k in range(truth.shape[1])) / truth.shape[1]
