"""Linear artificial tomography: the first component of random differences of length 1."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mmsteer.probes.fitted import Progress
from mmsteer.probes.pairs import first_component, paired
from mmsteer.probes.pca import check_classes
from mmsteer.probes.site_probe import FitData, Found, SiteProbe
from mmsteer.probes.targets import TargetKind


@dataclass(frozen=True)
class LAT(SiteProbe):
    """First principal component of the differences of random pairs, each of length 1, signed by the labels.

    Every sample of the label is paired once with a random sample of the rest: of its own group where every group holds
    both, of all groups otherwise. At length 1 no pair counts for more than another, however far apart its sides are.
    The component is about zero, as it is when the order within a pair is drawn at random. It has nothing to choose, so
    the validation part joins the training part. A concept is found only where its pairs have more in common than
    what else tells two samples apart.

    Differences: the released program of representation engineering keeps the lengths and takes the mean off;
    AxBench has the lengths, and draws both sides of a pair from the label's own samples.

    Attributes:
        seed: Seed of the pairs and of the split by source.

    Source: Zou et al. 2023, arXiv:2310.01405 (section 3.1); Wu et al. 2025, arXiv:2501.17148 (length 1).
    """

    TOKENS = True
    name: Literal["lat"] = field(default="lat", kw_only=True)

    def _check(self, task: TargetKind) -> None:
        check_classes("lat", task)

    def _find(self, data: FitData, progress: Progress | None) -> Found:
        (train, columns), random = data.fitting, np.random.default_rng(self.seed)
        found = [tomography(train, column, data.sources, random) for column in columns.T]
        return Found(torch.stack(found, dim=-1))


def tomography(x: Tensor, positive: Tensor, groups: Sequence[str] | None, random: np.random.Generator) -> Tensor:
    """Unit first component of random differences, pointing to the positives, (width,) or (tokens, width) float64.

    Args:
        x: Hidden states, (n, width) or (n, tokens, width).
        positive: Membership as 0 or 1, (n,).
        groups: The group of each sample; None pairs anything.
        random: Draws the pairs.

    Raises:
        ProbeError: The two sides of all pairs coincide, or there are too few pairs.
    """
    one, other = (rows.to(x.device) for rows in random_pairs(positive, groups, random))
    between = x[one].double() - x[other].double()
    # Sides that coincide say nothing, and have no length to divide by.
    unit = between / between.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    (vector,) = first_component([unit], 1.0)
    return torch.where((unit.mean(dim=0) * vector).sum(dim=-1, keepdim=True) < 0, -vector, vector)


def random_pairs(positive: Tensor, groups: Sequence[str] | None, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Rows of the positives, each once, and beside each a random negative, of its own group where all groups have both.

    `positive`: membership as 0 or 1, (n,).
    `groups`: the group of each sample; None pairs anything.
    """
    names = np.asarray(groups if groups is not None and paired(groups, positive) else [""] * len(positive), dtype=str)
    chosen = positive.cpu().numpy() > 0.5
    ones = np.flatnonzero(chosen)
    others = np.array([random.choice(np.flatnonzero(~chosen & (names == names[row]))) for row in ones])
    return torch.from_numpy(ones), torch.from_numpy(others)
