"""The direction between the means."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.fitted import Fitted, Progress, check_states, judge
from mmsteer.probes.linear_readout import COINCIDE, fit_line
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import Labels, TargetKind, encode


@dataclass(frozen=True)
class MeanDifference:
    """Unit vector from the mean of the rest to the mean of the label.

    Binary and multiclass: mean of the class minus mean of the others. Regression: the covariance of the
    states with the value, which for values 0 and 1 is the same vector. It has nothing to choose, so the
    validation part joins the training part. The predictor is the projection, fitted to the targets by
    least squares on one slope and one offset a label. States of every token, (n, tokens, width), give each token
    its own direction.

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
        task: TargetKind,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Fitted:
        """See `Probe.fit`.

        Args:
            x: Hidden states, (n, width) or (n, tokens, width).
            y: One label a sample.
            task: What kind of question the labels answer.
            groups: The source of each sample.
            progress: Called with the fraction that is done.

        Raises:
            ProbeError: The data cannot carry a probe, or the means coincide.
        """
        targets = encode(y, task)
        states = check_states(x, len(targets.columns), tokens=True)
        split = split_by_source(targets, groups, self.seed)
        rows = split.fitting
        train, columns = states[rows.to(x.device)], targets.columns[rows].to(x.device)
        line = fit_line(train, columns, _between(train, columns, targets.labels))
        settings = {"probe": "mean_difference", **asdict(self), "task": task}
        fitted = judge(states, targets, split, line.directions, line, settings)
        if progress:
            progress(1.0)
        return fitted


def _between(x: Tensor, columns: Tensor, labels: tuple[str, ...]) -> Tensor:
    """Unit vectors between the means, (width, labels) or (tokens, width, labels).

    Raises:
        ProbeError: The means of a label coincide.
    """
    # float64: the means of large classes nearly cancel in float32 where one coordinate dominates.
    x, columns = x.double(), columns.double()
    centred, wanted = x - x.mean(dim=0), columns - columns.mean(dim=0)
    # The covariance with membership is the difference of the means times a positive number.
    between = torch.einsum("n...d,nk->...dk", centred, wanted) / wanted.square().sum(dim=0)
    lengths = between.norm(dim=-2, keepdim=True)
    # A token that never varies, such as a padded one, has no direction either.
    spread = centred.norm(dim=-1).mean(dim=0)[..., None]
    flat = ~(lengths.squeeze(-2) * wanted.std(dim=0) > COINCIDE * spread)
    for label, none in zip(labels, flat.reshape(-1, len(labels)).T, strict=True):
        if none.any():
            where = f" at {int(none.sum())} of {len(none)} tokens" if x.ndim == 3 else ""
            raise ProbeError(
                f"the mean of {label!r} coincides with the mean of the rest{where}: no direction between them"
            )
    return between / lengths
