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

_AT_ONCE = 2**23
"""Numbers in float64 that `push_lengths` makes of the layers that it takes together: 64 MiB."""

_NOTHING = 1e-12
"""Of what the square of a sum might be: what is left where pushes cancel, as vectors are float32."""


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
        device = self._waiting[0][0].device  # a gate that rests all through a call leaves its parts elsewhere
        change, size = (
            torch.cat([one.flatten().to(device) for one in parts]) for parts in zip(*self._waiting, strict=True)
        )
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
    """How long the sum of all pushes is, (layers, steps, rows) float64, without making any of the sums.

    Each row's own columns alone are taken: a batch may hold hundreds, of which every row has a few.

    Args:
        table: Coefficients, (layers or 1, steps, rows, columns).
        vectors: What a coefficient of one adds, (layers, columns, width).
    """
    used = (table != 0).any(0).any(0)
    most = max(1, int(used.sum(dim=1).max()))
    columns = used.int().topk(most, dim=1).indices
    # float64: pushes against one another cancel.
    own = table.gather(-1, columns.expand(*table.shape[:2], -1, -1)).double().expand(len(vectors), -1, -1, -1)
    together = max(1, _AT_ONCE // (columns.numel() * max(vectors.shape[-1], table.shape[1])))
    of_rows = columns.to(vectors.device)
    parts = zip(own.split(together), vectors.split(together), strict=True)
    return torch.cat([_lengths(coefficients, wide.double()[:, of_rows]) for coefficients, wide in parts])


def _lengths(coefficients: Tensor, vectors: Tensor) -> Tensor:
    """Lengths of sums, (layers, steps, rows).

    `coefficients`: (layers, steps, rows, columns of a row).
    `vectors`: (layers, rows, columns of a row, width).
    """
    gram = (vectors @ vectors.mT).to(coefficients.device)
    squared, most = (
        torch.einsum("lsra,lrac,lsrc->lsr", one, of, one)
        for one, of in ((coefficients, gram), (coefficients.abs(), gram.abs()))
    )
    return torch.where(squared > _NOTHING * most, squared, 0.0).sqrt()
