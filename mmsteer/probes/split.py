"""Training, validation and test parts that share no source."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.targets import Targets

SHARES = np.array([0.70, 0.15, 0.15])
PARTS = ("training", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of the three parts, each (rows,) int64 and sorted.

    Attributes:
        train: Where the probe is fitted, about 70 %.
        validation: Where its settings are chosen, about 15 %.
        test: Where its score is measured, about 15 %.
    """

    train: Tensor
    validation: Tensor
    test: Tensor

    @property
    def fitting(self) -> Tensor:
        """All rows but the test's: where a probe that has nothing to choose is fitted."""
        return torch.cat([self.train, self.validation])


def split_by_source(targets: Targets, groups: Sequence[str] | None, seed: int) -> Split:
    """Divide the samples 70/15/15, whole sources at a time, with every class in every part.

    Sources are dealt in a seeded order, each to the part that most lacks its classes. Neighbours from one
    source (an instrument, a photograph) on both sides would let a probe pass by recognising the source.

    `groups`: the source of each sample; None makes every sample its own source.

    Raises:
        ProbeError: The groups do not match the samples, or a part misses a class.
    """
    classes = _classes(targets)
    n = len(classes)
    if groups is not None and len(groups) != n:
        raise ProbeError(f"groups: {len(groups)} sources for {n} samples")
    names = np.arange(n).astype(str) if groups is None else np.asarray(groups, dtype=str)
    sources, member = np.unique(names, return_inverse=True)
    counts = np.zeros((len(sources), classes.shape[1]))
    np.add.at(counts, member, classes)
    part = _deal(counts, seed)[member]
    _check(classes, part, targets.labels, len(sources))
    if targets.task == "regression":
        _check_values(targets.columns[:, 0].cpu().numpy(), part)
    train, validation, test = (torch.from_numpy(np.flatnonzero(part == which)) for which in range(3))
    return Split(train, validation, test)


def _classes(targets: Targets) -> np.ndarray:
    """Membership of each sample, (n, classes); values of a regression are one class."""
    columns = targets.columns.double().cpu().numpy()
    if targets.task == "binary":
        return np.concatenate([1 - columns, columns], axis=1)
    return columns if targets.task == "multiclass" else np.ones_like(columns)


def _deal(counts: np.ndarray, seed: int) -> np.ndarray:
    """The part of each source: the one whose lack of the source's classes is largest."""
    weight = counts / counts.sum(axis=0)
    lack = np.outer(SHARES, counts.sum(axis=0))
    part = np.zeros(len(counts), dtype=np.int64)
    for source in np.random.default_rng(seed).permutation(len(counts)):
        part[source] = np.argmax(lack @ weight[source])
        lack[part[source]] -= counts[source]
    return part


def _check(classes: np.ndarray, part: np.ndarray, labels: tuple[str, ...], sources: int) -> None:
    names = labels if classes.shape[1] == len(labels) else ("no", *labels)
    for which, name in enumerate(PARTS):
        empty = [label for label, count in zip(names, classes[part == which].sum(axis=0), strict=True) if not count]
        if empty:
            raise ProbeError(
                f"the {name} part has no sample of {', '.join(empty)} ({len(part)} samples from {sources} sources "
                "are split 70/15/15 by source); give every class five sources or more"
            )


def _check_values(values: np.ndarray, part: np.ndarray) -> None:
    for which, name in enumerate(PARTS):
        if len(np.unique(values[part == which])) < 2:
            raise ProbeError(
                f"the {name} part has one value only ({len(part)} samples split 70/15/15 by source); "
                "give the regression more samples, sources or values"
            )
