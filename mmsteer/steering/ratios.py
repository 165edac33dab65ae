"""How far tokens were moved, against how large they were: counted on the device, in parts that add up."""

import torch
from torch import Tensor

from mmsteer.steering.receipt import SiteReceipt
from mmsteer.types import LogHistogram, binned

_LEAST = 1e-12
"""A state that is shorter counts as this long."""

_HELD = 2**14
"""Most tokens that wait to be counted: calls of a few tokens are counted together, as each count costs the same."""

_PARTS = 64
"""Most tensors of them that wait: a thousand small ones take more memory and time than their numbers."""


class Ratios:
    """The ratios of change to state of one site's steered tokens; nothing waits for the device until it is read.

    Attributes:
        sampled: Whether some tokens that were steered are not among them.
    """

    def __init__(self) -> None:
        self.sampled = False
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._held = 0
        # Counts of ratios and of norms in bins, (2, bins), and the sum of the ratios and the largest, (2,).
        self._bins: Tensor | None = None
        self._sums = torch.zeros(2, dtype=torch.float64)

    def add(self, change: Tensor, size: Tensor) -> None:
        """Count the tokens that changed.

        Args:
            change: Norm of the change of each token.
            size: Norm of each token before it, of the same shape.
        """
        self._waiting.append((change, size))
        self._held += change.numel()
        if self._held > _HELD or len(self._waiting) > _PARTS:
            self._count()

    def _count(self) -> None:
        change, size = (torch.cat([one.flatten() for one in parts]) for parts in zip(*self._waiting, strict=True))
        self._waiting.clear()
        self._held = 0
        ratio, steered = ratios_of(change, size), change > 0
        bins = torch.stack([binned(ratio, steered), binned(size, steered)])
        total, peak = self._sums.to(bins.device)
        self._sums = torch.stack([total + ratio.sum(dtype=torch.float64), torch.maximum(peak, ratio.max().double())])
        before = torch.zeros_like(bins) if self._bins is None else self._bins.to(bins.device)
        self._bins = before + bins

    def receipt(self, moments: int) -> SiteReceipt | None:
        """What is known; None where nothing changed.

        Args:
            moments: How many forwards were measured.
        """
        if self._waiting:
            self._count()
        if self._bins is None or not self._bins.any():
            return None
        ratios, norms = map(LogHistogram.of_bins, self._bins)
        total, peak = self._sums.tolist()
        return SiteReceipt(total / ratios.count, peak, moments, ratios, norms.median, self.sampled)


def ratios_of(change: Tensor, size: Tensor) -> Tensor:
    """Norms of changes over norms of states.

    Args:
        change: Norms of changes.
        size: Norms of the states before, of the same shape.
    """
    return change / size.clamp(min=_LEAST)


def push_lengths(table: Tensor, vectors: Tensor) -> Tensor:
    """How long the sum of all pushes is, (layers, steps, rows), without making any of the sums.

    Args:
        table: Coefficients, (layers or 1, steps, rows, columns).
        vectors: What a coefficient of one adds, (layers, columns, width).
    """
    wide = vectors.double()
    # float64: pushes against one another cancel.
    gram = (wide @ wide.transpose(1, 2)).to(table.device)
    coefficients = table.double().expand(len(gram), -1, -1, -1)
    squared = torch.einsum("lsra,lac,lsrc->lsr", coefficients, gram, coefficients)
    return squared.clamp(min=0).sqrt()
