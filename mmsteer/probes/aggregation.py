"""Recursive feature machines over all layers: directions of each, and one machine on what lies along them together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.bounds import Count
from mmsteer.probes.fitted import Fitted, Json, Progress
from mmsteer.probes.lpq import NormMachine, NormSetting, square_root
from mmsteer.probes.metrics import METRICS, column_scores, score
from mmsteer.probes.rfm import RFM
from mmsteer.probes.rfm_model import PATIENCE, fixed_trace
from mmsteer.probes.search import Ranges
from mmsteer.probes.split import Split, split_by_source
from mmsteer.probes.targets import Labels, TargetKind, Targets, encode
from mmsteer.types import Site

MEDIAN = 10.0


@dataclass(frozen=True, eq=False)
class Aggregate:
    """One machine on the projections of all layers.

    Attributes:
        fits: The machine of each site, with its directions.
        metric: `auc`, `accuracy` or `r2`.
        score: The metric of the machine over all sites on the test part.
        label_scores: For each label the held-out AUC of its output against the rest, or R².
        setting: The setting that was chosen.
        validation: What it was chosen by: accuracy, or R², on the validation part.
        machine: The machine.
        mean: Mean of the projections, (columns,).
        scale: What projections are multiplied with: their median distance is then 10.
    """

    fits: Mapping[Site, Fitted]
    metric: str
    score: float
    label_scores: Mapping[str, float]
    setting: NormSetting
    validation: float
    machine: NormMachine
    mean: Tensor
    scale: float

    def scores(self, states: Mapping[Site, Tensor]) -> Tensor:
        """Predictions for new samples, (n, labels); larger means more of the label.

        Args:
            states: For each site of `fits` hidden states, (n, width).
        """
        return self.machine((_projections(self.fits, states) - self.mean) * self.scale)


@dataclass(frozen=True)
class Aggregation(RFM):
    """MusicRFM's two stages: an RFM at each layer, and one with a kernel K_{p,q} on the projections of all layers.

    The directions are those of `RFM`, one a label and layer. What the second machine adds is detection: it weighs the
    layers by a metric that it learns. Its settings are drawn as MusicRFM draws them, as for a layer, and p uniform
    between q and 2; the one of the highest validation accuracy (regression: R²) is taken.

    Differences from MusicRFM: one component a label and layer, because the gradients of one output have essentially one
    direction; bandwidths are in tenths of the median distance. The released program takes p = 2 whatever it draws.

    Attributes:
        joint_draws: How many settings are tried for the machine over all layers.

    Source: Zhao et al. 2025, arXiv:2510.19127, table 7 and the released `AggregationRFM`.
    """

    name: Literal["aggregation"] = field(default="aggregation", kw_only=True)  # type: ignore[assignment]
    joint_draws: Count = 300

    def fit_sites(
        self,
        states: Mapping[Site, Tensor],
        y: Labels,
        *,
        task: TargetKind,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Mapping[Site, Fitted]:
        """The fits of the layers, whose settings say what the machine over all of them reached.

        Args:
            states: For each site hidden states, (n, width).
            y: One label a sample.
            task: What kind of question the labels answer.
            groups: The source of each sample.
            progress: Called with the fraction that is done.
        """
        found = self.join(states, y, task=task, groups=groups, progress=progress)
        together: dict[str, Json] = {"score": found.score, "metric": found.metric, "validation": found.validation}
        together |= {"chosen": asdict(found.setting), "sites": len(states)}
        return {site: _noted(fit, {"together": together}) for site, fit in found.fits.items()}

    def join(
        self,
        states: Mapping[Site, Tensor],
        y: Labels,
        *,
        task: TargetKind,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Aggregate:
        """Fit every layer, then the machine over all of them.

        Args:
            states: For each site hidden states, (n, width).
            y: One label a sample.
            task: What kind of question the labels answer.
            groups: The source of each sample.
            progress: Called with the fraction that is done.

        Raises:
            ProbeError: The data cannot carry a probe, or all samples project alike.
        """
        fits = {}
        for done, (site, x) in enumerate(states.items(), start=1):
            fits[site] = self.fit(x, y, task=task, groups=groups)
            if progress:
                progress(done / (len(states) + 1))
        targets = encode(y, task)
        split = split_by_source(targets, groups, self.seed)
        columns = _projections(fits, states)
        mean, scale = columns[split.train].mean(dim=0), _scale(columns[split.train])
        points = (columns - mean) * scale
        setting, machine, reached = self._search_joint(points, targets, split)
        found = machine(points[split.test])
        alone = dict(zip(targets.labels, column_scores(found, targets, split.test), strict=True))
        if progress:
            progress(1.0)
        return Aggregate(
            fits, METRICS[task], score(found, targets, split.test), alone, setting, reached, machine, mean, scale
        )

    def _search_joint(self, points: Tensor, targets: Targets, split: Split) -> tuple[NormSetting, NormMachine, float]:
        random = np.random.default_rng(self.seed)
        best: tuple[NormSetting, NormMachine, float] | None = None
        for _ in range(self.joint_draws):
            setting = draw_norm(self.ranges, random)
            machine, reached = learn_joint(points, targets, split, setting, self.iterations)
            if best is None or reached > best[2]:
                best = setting, machine, reached
        assert best is not None
        return best


def draw_norm(ranges: Ranges, random: np.random.Generator) -> NormSetting:
    """A setting of a layer's ranges, and p uniform between q and 2.

    Args:
        ranges: What is drawn from.
        random: Where the randomness comes from.
    """
    drawn = asdict(ranges.draw(random))
    return NormSetting(**drawn, norm=random.uniform(drawn["exponent"], 2.0))


def learn_joint(
    points: Tensor, targets: Targets, split: Split, setting: NormSetting, iterations: int
) -> tuple[NormMachine, float]:
    """The best machine of a few rounds of one setting, and the validation quality that it reached.

    Args:
        points: Projections of all samples, (n, columns).
        targets: Their targets.
        split: The parts of the data; the test part is not looked at.
        setting: Kernel, ridge and centring.
        iterations: How often the metric may be updated.
    """
    normalise = fixed_trace(points.shape[1])
    train, wanted = points[split.train], targets.columns[split.train].to(points)
    offset = wanted.mean(dim=0)
    root, best = torch.eye(points.shape[1]).to(points), None
    for rounds in range(iterations + 1):
        machine = NormMachine.fit(train, wanted - offset, root, setting)
        reached = _quality(machine(points[split.validation]) + offset, targets, split.validation)
        if best is None or reached > best[1]:
            best = machine, reached
        if rounds == iterations or reached < best[1] / PATIENCE or best[1] >= 1:
            break
        agop = machine.agop()
        if not math.isfinite(float(agop.trace())) or float(agop.trace()) == 0:
            break
        root = square_root(normalise(agop))
    assert best is not None
    return best


def _quality(scores: Tensor, targets: Targets, rows: Tensor) -> float:
    """Accuracy, by which MusicRFM chooses, or R²."""
    if targets.task == "binary":
        return float(((scores[:, 0] > 0.5) == (targets.columns[rows, 0].to(scores) > 0.5)).double().mean())
    return score(scores, targets, rows)


def _projections(fits: Mapping[Site, Fitted], states: Mapping[Site, Tensor]) -> Tensor:
    """What lies along every label's direction at every site, (n, sites x labels).

    Raises:
        ProbeError: A site has no states.
    """
    missing = [str(site) for site in fits if site not in states]
    if missing:
        raise ProbeError(f"no states at {', '.join(missing)}; the machine over all layers needs each of them")
    parts = []
    for site, fit in fits.items():
        directions = torch.stack(list(fit.directions.values()), dim=1)
        parts.append(states[site].float() @ directions.to(states[site].device))
    return torch.cat(parts, dim=1)


def _scale(columns: Tensor) -> float:
    """What brings the median distance to `MEDIAN`.

    Raises:
        ProbeError: It is zero.
    """
    median = float(torch.pdist(columns).median())
    if median == 0:
        raise ProbeError("more than half of the samples project alike at every layer; the kernel has no scale")
    return MEDIAN / median


def _noted(fit: Fitted, more: Mapping[str, Json]) -> Fitted:
    return Fitted(**{**vars(fit), "settings": dict(fit.settings) | dict(more)})
