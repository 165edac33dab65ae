"""The coordinates in which a recursive feature machine runs."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.distances import Distances

Unit = Literal["median", "absolute"]

# With the median distance at 10, the bandwidths 1..100 that MusicRFM searches span a tenth to ten medians.
MEDIAN = 10.0
# States whose distances stand for those of all: their median is off by one per cent, rarely by three.
SAMPLED = 2048


@dataclass(frozen=True, eq=False)
class Space:
    """An affine map of hidden states to coordinates: centred, scaled, and no wider than needed.

    Every gradient of a kernel machine lies in the span of its training points. With fewer points than
    dimensions the whole fit therefore runs, exactly, in an orthonormal basis of that span; what a new
    point has outside the span adds to its distances only while the metric is still the identity, because
    every learned metric annihilates it.

    Attributes:
        mean: Mean of the training states, (width,). Kernels see differences only; small numbers round less.
        scale: Factor on all coordinates.
        basis: Orthonormal columns, (width, rank); None keeps all coordinates.
    """

    mean: Tensor
    scale: float
    basis: Tensor | None

    def enter(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates of states, (n, rank), and their squared distance from the span, (n,).

        `x`: hidden states, (n, width).
        """
        centred = (x.to(self.mean) - self.mean) * self.scale
        if self.basis is None:
            return centred, centred.new_zeros(len(centred))
        inside = centred @ self.basis
        return inside, (centred - inside @ self.basis.T).square().sum(dim=1)

    def within(self, columns: Tensor) -> "Space":
        """The part of this space that some directions span.

        `columns`: orthonormal columns, (rank, smaller rank).
        """
        return Space(self.mean, self.scale, columns if self.basis is None else self.basis @ columns)

    def leave(self, vectors: Tensor) -> Tensor:
        """Vectors of the coordinates as vectors of the hidden states, (width, k).

        `vectors`: (rank, k).
        """
        return vectors if self.basis is None else self.basis @ vectors


def span_of(x: Tensor, unit: Unit, *, reduce: bool = True) -> Space:
    """The space of training states.

    Args:
        x: Training states, (n, width).
        unit: `median` scales the states so that their median distance is 10, which gives bandwidths the same meaning
            in every layer of every model; `absolute` takes bandwidths in the units of the states.
        reduce: Use the row span when there are fewer states than dimensions.

    Raises:
        ProbeError: More than half of the training states are equal.
    """
    mean = x.mean(dim=0)
    centred = x - mean
    scale = 1.0 if unit == "absolute" else MEDIAN / _median_distance(centred)
    basis = torch.linalg.qr(centred.T).Q if reduce and x.shape[0] < x.shape[1] else None
    return Space(mean, scale, basis)


def _median_distance(x: Tensor) -> float:
    if len(x) > SAMPLED:
        x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:SAMPLED].to(x.device)]
    later = torch.arange(len(x), device=x.device)
    pairs = [found[later > later[rows, None]] for rows, found in Distances.among(x, x).blocks()]
    median = float(torch.cat(pairs).median().sqrt())
    if median == 0:
        raise ProbeError("more than half of the training states are equal; the kernel has no scale")
    return median
