"""What a contrast is, and its control with the wrong images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmsteer.data.groups import rows_of_parts
from mmsteer.errors import DataError
from mmsteer.types import Positions, Sample


@dataclass(frozen=True, eq=False)
class Contrast:
    """Samples of two sides, and where their states are read.

    A direction fitted to a contrast points to label 1.

    Attributes:
        name: What is contrasted.
        samples: The samples; their names are unique.
        labels: 1 for what steering should bring about, 0 for its opposite.
        groups: Samples of one group belong together, mostly as a pair; no group is on both sides of a split.
        positions: Which tokens are read.
        pool: How their states become one, as `record` takes it.
    """

    name: str
    samples: tuple[Sample, ...]
    labels: tuple[int, ...]
    groups: tuple[str, ...]
    positions: Positions = Positions("all")
    pool: str = "last"

    def __post_init__(self) -> None:
        if not len(self.samples) == len(self.labels) == len(self.groups):
            raise DataError(
                f"{self.name}: {len(self.samples)} samples, {len(self.labels)} labels and {len(self.groups)} groups; "
                "give each sample one of both"
            )
        if set(self.labels) != {0, 1}:
            raise DataError(f"{self.name}: labels {sorted(set(self.labels))}; a contrast needs samples of 0 and of 1")
        names = [sample.id for sample in self.samples]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{self.name}: the name {twice!r} occurs twice; each sample, and each demo, needs its own")

    def parts(self, groups: int) -> Iterator["Contrast"]:
        """The contrast a few groups at a time, for recordings too large for the memory.

        Args:
            groups: How many groups a part.

        Yields:
            Contrasts of whole groups, in order of first appearance.
        """
        for rows in rows_of_parts(self.groups, groups):
            yield replace(
                self,
                samples=tuple(self.samples[row] for row in rows),
                labels=tuple(self.labels[row] for row in rows),
                groups=tuple(self.groups[row] for row in rows),
            )


def paired(
    name: str, pairs: Sequence[tuple[str, Sample, Sample]], *, positions: str = "all", pool: str = "last"
) -> Contrast:
    """A contrast of pairs.

    Args:
        name: What is contrasted.
        pairs: For each pair its group, its sample of label 1 and its sample of label 0.
        positions: Which tokens are read.
        pool: How their states become one.
    """
    return Contrast(
        name=name,
        samples=tuple(sample for _, yes, no in pairs for sample in (yes, no)),
        labels=(1, 0) * len(pairs),
        groups=tuple(group for group, _, _ in pairs for _ in range(2)),
        positions=Positions(positions),
        pool=pool,
    )


def wrong_image(contrast: Contrast, seed: int) -> Contrast:
    """The same words with the images of other groups: the control for what does not depend on the image.

    Every group takes the images of another one, side by side, so that no group keeps its own; what had no image
    still has none.

    Args:
        contrast: A contrast with images.
        seed: Seed of the exchange.

    Raises:
        DataError: There are fewer than two groups with images.
    """
    images = _images_of(contrast)
    names = [group for group in dict.fromkeys(contrast.groups) if images.get((group, None))]
    if len(names) < 2:
        raise DataError(f"{contrast.name}: {len(names)} groups with images; an exchange of images needs two or more")
    order = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    giver = dict(zip(order, order[1:] + order[:1], strict=True))
    taken: dict[tuple[str, int], int] = {}
    samples = []
    for sample, label, group in zip(contrast.samples, contrast.labels, contrast.groups, strict=True):
        if sample.images:
            place = taken.setdefault((group, label), 0)
            taken[group, label] += 1
            given = images.get((giver[group], label)) or images[giver[group], None]
            sample = replace(sample, images=given[place % len(given)])
        samples.append(sample)
    return replace(contrast, name=f"{contrast.name}, wrong image", samples=tuple(samples))


def _images_of(contrast: Contrast) -> dict[tuple[str, int | None], list[Any]]:
    """The images of each side of each group, and, for None, of both sides."""
    images: dict[tuple[str, int | None], list[Any]] = {}
    for sample, label, group in zip(contrast.samples, contrast.labels, contrast.groups, strict=True):
        if sample.images:
            for side in (label, None):
                images.setdefault((group, side), []).append(sample.images)
    return images
