"""Samples with classes, which probes find directions in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmsteer.data.groups import rows_of_parts
from mmsteer.types import Sample


@dataclass(frozen=True, eq=False)
class Labelled:
    """Samples with their classes and sources.

    Attributes:
        samples: What is read.
        labels: The class of each.
        groups: The source of each; no source is on both sides of a split.
        averaged: Whether each side of each group is one state, averaged while it is read.
    """

    samples: tuple[Sample, ...]
    labels: tuple[Any, ...]
    groups: tuple[str, ...]
    averaged: bool = False

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
