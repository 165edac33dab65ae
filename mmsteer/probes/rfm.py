"""Recursive feature machines as a probe."""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.bounds import Count
from mmsteer.probes.fitted import Json, Progress
from mmsteer.probes.kernel import Setting
from mmsteer.probes.rfm_model import Machine, Points, directions_of
from mmsteer.probes.search import Ranges, Search, Wanted
from mmsteer.probes.site_probe import FitData, Found, SiteProbe
from mmsteer.probes.space import Unit, span_of
from mmsteer.probes.targets import TargetKind


@dataclass(frozen=True)
class RFM(SiteProbe):
    """Top eigenvector of the average gradient outer product of a kernel machine with a learned metric.

    Multiclass is one machine with one output a class: the kernel is solved once for all, the metric is learned
    from all, and each class takes the eigenvector of its own output.

    Differences from MusicRFM: bandwidths are in tenths of the median distance (`unit`), targets are centred,
    a multiclass or binary draw is chosen by the mean AUC of its outputs, equal draws by the gap between the
    classes, and the eigenvector is that of the uncentred gradients. The kernel is K_{2,q}, as in its layers.

    A setting that predicts best does not always steer best: where one layer's coordinates differ in scale by a
    factor of 30, a pure mean shift is found at a cosine of .79 against .85 for the difference of means (n=600,
    d=128) or .72 against .63 (n=300, d=256); a boundary that the means do not show, at .70 against .55.

    Attributes:
        draws: How many settings the search tries.
        iterations: How often a draw may update its metric.
        ranges: What the search draws from.
        settings: Settings to try instead of a search.
        screen: Most training samples that settings are compared on; where there are more, the best setting is then
            fitted to all of them. A solve costs the cube of the samples.
        centres: Most training samples that the kernel is centred at; where there are more, the machine is fitted to all
            of them in the span of so many, spread over the labels. None for all of up to 20,000, else for 8,192.
        unit: Unit of the bandwidth: `median` or `absolute`, see `span_of`.
        seed: Seed of the search and of the split by source.

    Source: Radhakrishnan et al. 2024, arXiv:2212.13881; the search is MusicRFM's, arXiv:2510.19127.
    """

    name: Literal["rfm"] = field(default="rfm", kw_only=True)
    draws: Annotated[int, Field(ge=0)] = 20
    iterations: Count = 15
    ranges: Ranges = field(default_factory=Ranges)
    settings: tuple[Setting, ...] = ()
    screen: Count = 1500
    centres: Count | None = None
    unit: Unit = "median"

    def _find(self, data: FitData, progress: Progress | None) -> Found:
        (train, columns), (validation, held) = data.part(data.split.train), data.part(data.split.validation)
        points = Points.of(span_of(train, self.unit), train, validation)
        offset, spread = _scale(columns, data.targets.task)
        wanted = Wanted((columns - offset) / spread, (held - offset) / spread)
        machine = self._search().best(points, wanted, data.targets.task, progress)
        directions = machine.points.space.leave(directions_of(machine, wanted.train))
        if not directions.any(dim=0).all():
            raise ProbeError(
                f"the kernel is flat at all samples with bandwidth {machine.setting.bandwidth:g}, so it has no "
                "gradient; take larger bandwidths, or unit='median', which scales the states to a median distance of 10"
            )
        return Found(directions, lambda new: machine(new) * spread + offset, _chosen(machine))

    def _search(self) -> Search:
        random = np.random.default_rng(self.seed)
        tries = self.settings or [self.ranges.draw(random) for _ in range(self.draws)]
        if not tries:
            raise ProbeError(f"draws={self.draws} and no settings: there is nothing to try")
        return Search(tries, self.iterations, self.screen, self.seed, self.centres)


def _chosen(machine: Machine) -> dict[str, Json]:
    return {
        "chosen": asdict(machine.setting),
        "rounds": machine.rounds,
        "validation": machine.quality,
        "scale": machine.points.space.scale,
    }


def _scale(columns: Tensor, task: TargetKind) -> tuple[Tensor, Tensor]:
    """Offset and spread of the targets: all are centred, values are z-scored, (labels,) each."""
    spread = columns.std(dim=0) if task == "regression" else torch.ones_like(columns[0])
    return columns.mean(dim=0), spread
