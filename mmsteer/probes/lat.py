"""Linear artificial tomography: the first component of random differences of length 1."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.fitted import Fitted, Progress, check_states, judge
from mmsteer.probes.linear_readout import fit_line
from mmsteer.probes.pairs import first_component, paired
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import Labels, TargetKind, encode


@dataclass(frozen=True)
class LAT:
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
            task: `binary` or `multiclass`; values have no two sides.
            groups: The pair or source of each sample.
            progress: Called with the fraction that is done.

        Raises:
            ProbeError: The data cannot carry a probe, all pairs coincide, or the labels are values.
        """
        if task == "regression":
            raise ProbeError("a lat probe compares two sides, so it takes the task 'binary' or 'multiclass'")
        targets = encode(y, task)
        states = check_states(x, len(targets.columns), tokens=True)
        split = split_by_source(targets, groups, self.seed)
        rows = split.fitting
        train, columns = states[rows.to(x.device)], targets.columns[rows]
        sources = None if groups is None else [groups[row] for row in rows.tolist()]
        random = np.random.default_rng(self.seed)
        found = [tomography(train, column, sources, random) for column in columns.T]
        line = fit_line(train, columns.to(x.device), torch.stack(found, dim=-1))
        fitted = judge(states, targets, split, line.directions, line, {"probe": "lat", **asdict(self), "task": task})
        if progress:
            progress(1.0)
        return fitted


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

    Args:
        positive: Membership as 0 or 1, (n,).
        groups: The group of each sample; None pairs anything.
        random: Draws the negatives.
    """
    names = np.asarray(groups if groups is not None and paired(groups, positive) else [""] * len(positive), dtype=str)
    chosen = positive.cpu().numpy() > 0.5
    ones = np.flatnonzero(chosen)
    others = np.array([random.choice(np.flatnonzero(~chosen & (names == names[row]))) for row in ones])
    return torch.from_numpy(ones), torch.from_numpy(others)
