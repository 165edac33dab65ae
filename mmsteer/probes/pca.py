"""The first principal component."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.fitted import Fitted, Progress, check_states, judge
from mmsteer.probes.linear_readout import fit_line
from mmsteer.probes.pairs import differences, first_component, paired
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import Labels, TargetKind, encode


@dataclass(frozen=True)
class PCA:
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
            task: What kind of question the labels answer; a component has no values, so no `regression`.
            groups: The pair or source of each sample.
            progress: Called with the fraction that is done.

        Raises:
            ProbeError: The data cannot carry a probe, do not vary, or the labels are values.
        """
        if task == "regression":
            raise ProbeError("a pca probe compares two sides, so it takes the task 'binary' or 'multiclass'")
        targets = encode(y, task)
        states = check_states(x, len(targets.columns), tokens=True)
        split = split_by_source(targets, groups, self.seed)
        rows = split.fitting
        train, columns = states[rows.to(x.device)], targets.columns[rows].to(x.device)
        sources = None if groups is None else [groups[row] for row in rows.tolist()]
        pairs = all(paired(sources, column) for column in columns.T)
        vectors = [self._direction(train, column, sources if pairs else None, task) for column in columns.T]
        line = fit_line(train, columns, torch.stack(vectors, dim=-1))
        settings = {"probe": "pca", **asdict(self), "task": task, "of": "differences" if pairs else "states"}
        fitted = judge(states, targets, split, line.directions, line, settings)
        if progress:
            progress(1.0)
        return fitted

    def _direction(self, x: Tensor, positive: Tensor, groups: Sequence[str] | None, task: TargetKind) -> Tensor:
        own = groups is None and task == "multiclass"
        return principal_direction(x, positive, groups, own=own)


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


def check_binary(probe: str, task: TargetKind) -> None:
    """Refuse a task with more than two classes or with values.

    Args:
        probe: The probe's name, for the error.
        task: What was asked for.

    Raises:
        ProbeError: The task is not binary.
    """
    if task != "binary":
        raise ProbeError(f"a {probe} probe compares two sides, so it takes the task 'binary', not {task!r}")
