"""The direction between the means."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.fitted import Fitted, Progress, check_states, judge
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import Labels, Task, encode

COINCIDE = 1e-6


@dataclass(frozen=True)
class MeanDifference:
    """Unit vector from the mean of the rest to the mean of the label.

    Binary and multiclass: mean of the class minus mean of the others. Regression: the covariance of the
    states with the value, which for values 0 and 1 is the same vector. It has nothing to choose, so the
    validation part joins the training part. The predictor is the projection, fitted to the targets by
    least squares on one slope and one offset a label.

    Attributes:
        seed: Seed of the split by source.

    Source: Rimsky et al. 2024, arXiv:2312.06681; Marks and Tegmark 2024, arXiv:2310.06824.
    """

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
            ProbeError: The data cannot carry a probe, or the means coincide.
        """
        targets = encode(y, task)
        states = check_states(x, len(targets.columns))
        split = split_by_source(targets, groups, self.seed)
        rows = torch.cat([split.train, split.validation])
        line = _fit_line(states[rows.to(x.device)], targets.columns[rows].to(x.device), targets.labels)
        settings = {"probe": "mean_difference", **asdict(self), "task": task}
        fitted = judge(states, targets, split, line.directions, line, settings)
        if progress:
            progress(1.0)
        return fitted


@dataclass(frozen=True, eq=False)
class _Line:
    """Projections with a slope and an offset each.

    Attributes:
        directions: Unit vectors, (width, labels).
        slope: (labels,).
        offset: (labels,).
    """

    directions: Tensor
    slope: Tensor
    offset: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x.to(self.directions) @ self.directions * self.slope + self.offset


def _fit_line(x: Tensor, columns: Tensor, labels: tuple[str, ...]) -> _Line:
    # float64: the means of large classes nearly cancel in float32 where one coordinate dominates.
    x, columns = x.double(), columns.double()
    centred, wanted = x - x.mean(dim=0), columns - columns.mean(dim=0)
    # The covariance with membership is the difference of the means times a positive number.
    between = centred.T @ wanted / wanted.square().sum(dim=0)
    lengths = between.norm(dim=0)
    for label, length in zip(labels, (lengths * wanted.std(dim=0)).tolist(), strict=True):
        if length <= COINCIDE * float(centred.norm(dim=1).mean()):
            raise ProbeError(f"the mean of {label!r} coincides with the mean of the rest: no direction between them")
    directions = between / lengths
    projection = centred @ directions
    slope = (projection * wanted).sum(dim=0) / projection.square().sum(dim=0)
    offset = columns.mean(dim=0) - slope * (x.mean(dim=0) @ directions)
    return _Line(directions.float(), slope.float(), offset.float())
