"""Recursive feature machines as a probe."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.fitted import Fitted, Json, Progress, check_states, judge
from mmsteer.probes.kernel import Setting
from mmsteer.probes.rfm_model import Machine, Points, directions_of
from mmsteer.probes.search import Ranges, Search, Wanted
from mmsteer.probes.space import Unit, span_of
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import Labels, TargetKind, encode


@dataclass(frozen=True)
class RFM:
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
        unit: Unit of the bandwidth: `median` or `absolute`, see `span_of`.
        seed: Seed of the search and of the split by source.

    Source: Radhakrishnan et al. 2024, arXiv:2212.13881; the search is MusicRFM's, arXiv:2510.19127.
    """

    draws: int = 20
    iterations: int = 15
    ranges: Ranges = field(default_factory=Ranges)
    settings: tuple[Setting, ...] = ()
    screen: int = 1500
    unit: Unit = "median"
    seed: int = 0

    def fit(
        self,
        x: Tensor,
        y: Labels,
        *,
        task: TargetKind,
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
        scaled = (columns - offset) / spread
        wanted = Wanted(scaled[split.train], scaled[split.validation])
        machine = self._search().best(points, wanted, task, progress)
        directions = machine.points.space.leave(directions_of(machine, wanted.train))
        if not directions.any(dim=0).all():
            raise ProbeError(
                f"the kernel is flat at all samples with bandwidth {machine.setting.bandwidth:g}, so it has no "
                "gradient; take larger bandwidths, or unit='median', which scales the states to a median distance of 10"
            )
        settings = self._settings(machine, task)
        return judge(states, targets, split, directions, lambda new: machine(new) * spread + offset, settings)

    def _search(self) -> Search:
        random = np.random.default_rng(self.seed)
        tries = self.settings or [self.ranges.draw(random) for _ in range(self.draws)]
        if not tries:
            raise ProbeError(f"draws={self.draws} and no settings: there is nothing to try")
        return Search(tries, self.iterations, self.screen, self.seed)

    def _settings(self, machine: Machine, task: TargetKind) -> dict[str, Json]:
        return {
            "probe": "rfm",
            **asdict(self),
            "task": task,
            "chosen": asdict(machine.setting),
            "rounds": machine.rounds,
            "validation": machine.quality,
            "scale": machine.points.space.scale,
        }


def _scale(columns: Tensor, task: TargetKind) -> tuple[Tensor, Tensor]:
    """Offset and spread of the targets: all are centred, values are z-scored, (labels,) each."""
    spread = columns.std(dim=0) if task == "regression" else torch.ones_like(columns[0])
    return columns.mean(dim=0), spread
