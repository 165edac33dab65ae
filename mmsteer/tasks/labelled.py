"""Samples with classes, which probes find directions in."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmsteer.data.groups import rows_of_parts
from mmsteer.probes import TargetKind
from mmsteer.types import Sample


@dataclass(frozen=True, eq=False)
class Labelled:
    """Samples with their classes and sources.

    Attributes:
        samples: What is read.
        labels: The class of each.
        groups: The source of each; no source is on both sides of a split.
        averaged: Whether each side of each group is one state, averaged while it is read.
        target: What kind of question the labels answer.
    """

    samples: tuple[Sample, ...]
    labels: tuple[Any, ...]
    groups: tuple[str, ...]
    averaged: bool = False
    target: TargetKind = "multiclass"

    def shuffled(self, seed: int) -> "Labelled":
        """The same samples with labels that say nothing about them: what a control is fitted on.

        Where the samples of a source have different labels, as the sides of a pair do, they exchange them; sources of
        one label each exchange theirs with one another. So every label stays as common in every part of a split.

        Args:
            seed: Of the exchange.
        """
        rng = np.random.default_rng(seed)
        rows: dict[str, list[int]] = {}
        for row, group in enumerate(self.groups):
            rows.setdefault(group, []).append(row)
        alike = [some for some in rows.values() if len({self.labels[row] for row in some}) == 1]
        labels = list(self.labels)
        for some, other in zip(alike, rng.permutation(len(alike)).tolist(), strict=True):
            for row in some:
                labels[row] = self.labels[alike[other][0]]
        for some in rows.values():
            if some not in alike:
                for row, other in zip(some, rng.permutation(some).tolist(), strict=True):
                    labels[row] = self.labels[other]
        return replace(self, labels=tuple(labels))

    def parts(self, groups: int) -> Iterator["Labelled"]:
        """The samples a few groups at a time.

        Args:
            groups: How many groups a part.

        Yields:
            Samples of whole groups, in order of first appearance.
        """
        for rows in rows_of_parts(self.groups, groups):
            yield Labelled(
                tuple(self.samples[row] for row in rows),
                tuple(self.labels[row] for row in rows),
                tuple(self.groups[row] for row in rows),
            )
