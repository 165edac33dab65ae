"""Sparse activations of a batch, and the two products that training needs of them, at the price of what is active."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class Codes:
    """The active features of each hidden state of a batch, row after row.

    Attributes:
        values: Activations, (active,).
        columns: Which feature each is, (active,).
        counts: How many each row has, (rows,).
    """

    values: Tensor
    columns: Tensor
    counts: Tensor

    @property
    def rows(self) -> Tensor:
        """Which row each is of, (active,)."""
        places = torch.arange(len(self.counts), device=self.counts.device)
        return places.repeat_interleave(self.counts, output_size=len(self.columns))

    def below(self, stop: int, start: int = 0) -> "Codes":
        """The part that features from `start` up to `stop` have."""
        inside = (self.columns >= start) & (self.columns < stop)
        counts = torch.zeros_like(self.counts).index_add_(0, self.rows, inside.to(self.counts.dtype))
        return Codes(self.values[inside], self.columns[inside], counts)

    def decode(self, decoder: Tensor) -> Tensor:
        """Sums of decoder rows times activations, (rows, width); only active features are visited, back and forth.

        `decoder`: (features, width).
        """
        offsets = self.counts.cumsum(0) - self.counts
        return functional.embedding_bag(self.columns, decoder, offsets, mode="sum", per_sample_weights=self.values)

    def fired(self, features: int) -> Tensor:
        """How many hidden states each feature is active in, (features,) int64."""
        return torch.bincount(self.columns[self.values > 0], minlength=features)


def chosen(x: Tensor, encoder: Tensor, bias: Tensor, a: Tensor, columns: Tensor, counts: Tensor) -> Codes:
    """Activations of chosen features, whose gradient reaches the encoder through them alone.

    Args:
        x: Hidden states, (rows, width); they take no gradient.
        encoder: (features, width).
        bias: (features,).
        a: `x encoderᵀ + bias`, computed without a graph, (rows, features).
        columns: The chosen features, row after row, (active,).
        counts: How many each row has, (rows,).
    """
    rows = Codes(columns, columns, counts).rows
    values: Tensor = _Chosen.apply(x, encoder, bias, a, rows, columns)  # type: ignore[no-untyped-call]
    return Codes(values.relu(), columns, counts)


class _Chosen(torch.autograd.Function):
    """Entries of x encoderᵀ + bias. The full product would cost as much again backwards, for nearly all zeros."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, encoder: Tensor, bias: Tensor, a: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        ctx.save_for_backward(x, rows, columns)
        ctx.features = len(bias)
        return a[rows, columns]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, rows, columns = ctx.saved_tensors
        grad, order = grads[0], columns.argsort()
        counts = torch.bincount(columns, minlength=ctx.features)
        # Transposed, the entries of a feature are a bag of hidden states.
        encoder = Codes(grad[order], rows[order], counts).decode(x)
        bias = torch.zeros(ctx.features, dtype=grad.dtype, device=grad.device).index_add_(0, columns, grad)
        return None, encoder, bias, None, None, None
