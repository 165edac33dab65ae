"""Samples with classes, which probes find directions in."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmsteer.data.groups import rows_of_parts
from mmsteer.probes import TargetKind
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import encode
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

    def shuffled(self, seed: int, split: int | None = None) -> "Labelled":
        """The same samples with labels that say nothing about them: what a control is fitted on.

        Where the samples of a source have different labels, as the sides of a pair do, they exchange them; sources of
        one label each exchange theirs with one another. So every label stays as common in every part of a split.
        Labels are not drawn but dealt out evenly: half of the pairs keep their sides (of an odd number one more or one
        less), and so do half of the sources of each of two classes. What the true labels say cancels in a mean then;
        by chance more would keep them than not, and a control would be the direction itself.

        Args:
            seed: Of the exchange.
            split: Seed of the split by source, for pairs to be exchanged evenly in every part of it; None for evenly
                in all.

        Raises:
            ProbeError: The sources are too few for a split.
        """
        rng = np.random.default_rng(seed)
        rows: dict[str, list[int]] = {}
        for row in rng.permutation(len(self.labels)).tolist():
            rows.setdefault(self.groups[row], []).append(row)
        labels = list(self.labels)
        alike, sides = list[list[int]](), list[list[int]]()
        for some in rows.values():
            (sides if len({self.labels[row] for row in some}) > 1 else alike).append(some)
        mixed = _spread([self.labels[some[0]] for some in alike])
        for some, label in zip(sorted(alike, key=lambda some: self._named(some[:1])), mixed, strict=True):
            for row in some:
                labels[row] = label
        part = self._part(split) if sides and split is not None else [0] * len(labels)
        sides.sort(key=lambda some: (part[some[0]], len(some), self._named(some)))
        for turn, some in enumerate(sides, int(rng.integers(len(labels)))):
            ordered = sorted(some, key=lambda row: self._named([row]))
            mixed = _spread([self.labels[row] for row in ordered])
            for at, row in enumerate(ordered, turn):
                labels[row] = mixed[at % len(mixed)]
        return replace(self, labels=tuple(labels))

    def _named(self, rows: Sequence[int]) -> list[str]:
        return sorted(repr(self.labels[row]) for row in rows)

    def _part(self, seed: int) -> list[int]:
        """The part of a split that each sample is in: 0 for training, 1 for validation, 2 for the test."""
        split = split_by_source(encode(self.labels, self.target), self.groups, seed)
        part = [0] * len(self.labels)
        for which, rows in enumerate((split.train, split.validation, split.test)):
            for row in rows.tolist():
                part[row] = which
        return part

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


def _spread(labels: Sequence[Any]) -> list[Any]:
    """Labels in an order of which every stretch has about its share of each; their own order decides ties."""
    counts, seen, places = Counter(labels), Counter[Any](), list[float]()
    for label in labels:
        places.append((seen[label] + 0.5) / counts[label])
        seen[label] += 1
    return [labels[at] for at in sorted(range(len(labels)), key=places.__getitem__)]
