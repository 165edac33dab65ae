"""The direction between the means."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.fitted import Progress
from mmsteer.probes.linear_readout import COINCIDE
from mmsteer.probes.site_probe import FitData, Found, SiteProbe


@dataclass(frozen=True)
class MeanDifference(SiteProbe):
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

    TOKENS = True
    name: Literal["mean_difference"] = field(default="mean_difference", kw_only=True)

    def _find(self, data: FitData, progress: Progress | None) -> Found:
        return Found(_between(*data.fitting, data.targets.labels))


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
