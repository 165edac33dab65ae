"""Squared distances between points in a metric, some rows at a time.

d²(x, z) = (x - z)' M (x - z), from inner products. The matrix of many samples would be the largest thing in a fit, so
only small ones are kept.
"""

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

# A block of rows: few enough to stay in a cache.
ROWS = 256
# Distances that are kept once they are made, in numbers: those of 2,048 points.
KEPT = 2**22


class Distances:
    """Squared distances from some points to others, (n, m)."""

    def __init__(self, mapped: Tensor, norms: Tensor, others: Tensor, other_norms: Tensor, *, own: bool) -> None:
        """Prepare the distances; `among` and `between` are the ways in.

        Args:
            mapped: The points times the metric, (n, rank).
            norms: Their squared norms in the metric, (n,), and what else is to be added to their distances.
            others: The other points, (m, rank).
            other_norms: Their squared norms in the metric, (m,).
            own: Whether both are the same points, so that the diagonal is zero.
        """
        self._mapped, self._norms = mapped, norms
        self._others, self._other_norms = others, other_norms
        self._own = own

    @classmethod
    def among(cls, points: Tensor, mapped: Tensor, some: Tensor | None = None) -> "Distances":
        """The distances between points, or from all points to some of them.

        `points`: (n, rank).
        `mapped`: the points times the metric, (n, rank); the points themselves for the identity.
        `some`: which of the points, (m,) int64; None for all.
        """
        norms = (mapped * points).sum(dim=1)
        if some is None:
            return cls(mapped, norms, points, norms, own=True)
        return cls(mapped, norms, points[some], norms[some], own=False)

    @classmethod
    def between(
        cls, points: Tensor, others: Tensor, metric: Tensor | None, outside: Tensor | None = None
    ) -> "Distances":
        """The distances from points to others.

        Args:
            points: (n, rank).
            others: (m, rank).
            metric: (rank, rank); None is the identity.
            outside: What is to be added to the distances of each point, (n,).
        """
        mapped, mapped_others = (points, others) if metric is None else (points @ metric, others @ metric)
        norms = (mapped * points).sum(dim=1)
        return cls(
            mapped,
            norms if outside is None else norms + outside,
            others,
            (mapped_others * others).sum(dim=1),
            own=False,
        )

    def __len__(self) -> int:
        return len(self._mapped)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self._mapped.device

    @property
    def dtype(self) -> torch.dtype:
        """Of what numbers they are."""
        return self._mapped.dtype

    @property
    def largest_norm(self) -> Tensor:
        """The largest squared norm of a point in the metric: what distances are rounded against."""
        return self._norms.max()

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """The distances, block by block of rows, (rows, m); not to be written to."""
        kept = len(self) * len(self._others) <= KEPT
        for start in range(0, len(self), ROWS):
            rows = slice(start, min(start + ROWS, len(self)))
            yield rows, self._whole[rows] if kept else self._at(rows)

    @cached_property
    def _whole(self) -> Tensor:
        return self._at(slice(0, len(self)))

    def _at(self, rows: slice) -> Tensor:
        # In place: a second matrix as large is made nowhere.
        products = self._mapped[rows] @ self._others.T
        found = products.mul_(-2).add_(self._norms[rows, None]).add_(self._other_norms).clamp_(min=0)
        if self._own:
            found[:, rows].fill_diagonal_(0)
        return found
