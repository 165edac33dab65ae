"""The first principal component."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.fitted import Progress
from mmsteer.probes.pairs import differences, first_component, paired
from mmsteer.probes.site_probe import FitData, Found, SiteProbe
from mmsteer.probes.targets import TargetKind


@dataclass(frozen=True)
class PCA(SiteProbe):
    """First principal component, pointing from the negatives to the positives.

    Where every group holds both classes it is the component of the groups' differences, about zero and not about
    their mean: what the pairs have in common is the direction, and taking it off would leave the noise. That is
    also the component of differences in random order. Otherwise it is the component of all states about their
    mean, which is a direction of the label only where the label is what varies most. With several classes each is
    held against the rest; where groups do not pair them, the component is that of the class's own states, as in
    AxBench, which is how they differ among themselves. It has nothing to choose, so the validation part joins the
    training part.

    Attributes:
        seed: Seed of the split by source.

    Source: Zou et al. 2023, arXiv:2310.01405 (differences in random order); Liu et al. 2024, arXiv:2311.06668;
    Wu et al. 2025, arXiv:2501.17148 (AxBench).
    """

    TOKENS = True
    name: Literal["pca"] = field(default="pca", kw_only=True)

    def _check(self, task: TargetKind) -> None:
        check_classes("pca", task)

    def _find(self, data: FitData, progress: Progress | None) -> Found:
        (train, columns), sources = data.fitting, data.sources
        pairs = all(paired(sources, column) for column in columns.T)
        own = not pairs and data.targets.task == "multiclass"
        groups = sources if pairs else None
        vectors = [principal_direction(train, column, groups, own=own) for column in columns.T]
        return Found(torch.stack(vectors, dim=-1), settings={"of": "differences" if pairs else "states"})


def principal_direction(x: Tensor, positive: Tensor, groups: Sequence[str] | None, *, own: bool = False) -> Tensor:
    """Unit first component with the positives on its positive side, (width,) or (tokens, width) float64.

    Args:
        x: Hidden states, (n, width) or (n, tokens, width).
        positive: Membership as 0 or 1, (n,).
        groups: The pair of each sample; None takes the states themselves.
        own: Without pairs, take the positives alone.
    """
    if groups is None:
        some = x[positive > 0.5].double() if own else x.double()
        rows = some - some.mean(dim=0)
    else:
        rows = differences(x, positive, groups)
    (vector,) = first_component([rows], float(x.norm(dim=-1).mean()))
    between = x[positive > 0.5].double().mean(dim=0) - x[positive <= 0.5].double().mean(dim=0)
    return torch.where((between * vector).sum(dim=-1, keepdim=True) < 0, -vector, vector)


def check_classes(probe: str, task: TargetKind, kinds: Sequence[TargetKind] = ("binary", "multiclass")) -> None:
    """Refuse a task without two sides.

    Args:
        probe: The probe's name, for the error.
        task: What was asked for.
        kinds: What the probe takes.

    Raises:
        ProbeError: The task is none of these.
    """
    if task not in kinds:
        names = " or ".join(map(repr, kinds))
        raise ProbeError(f"a {probe} probe compares two sides, so it takes the task {names}, not {task!r}")
