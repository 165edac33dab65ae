"""The few directions that carry a metric.

A metric that was learned from gradients keeps the range of the one before, and its spectrum falls with every round:
after two or three, a handful of directions carries the distances to six digits, in float32 all that there are. From
then on a machine costs what its kernel matrix costs, whatever the width of the states.

Source: Halko, Martinsson & Tropp 2011, arXiv:0909.4061, algorithm 4.4 (randomised subspace iteration).
"""

import torch
from torch import Tensor

# Up to this many dimensions all eigenvectors cost less than the leading ones alone.
SMALL = 256
SKETCH, PASSES = 128, 3
# Share of the squared distances that may be left out; float32 knows them no better.
TAIL = 1e-6
# An eigenvector v of λ is taken when |Mv - λv| is below this share of λ.
RESIDUAL = 1e-5


def leading(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Largest eigenvalues, (k,), falling, and their eigenvectors, (rank, k); k is the rank if that is small.

    `matrix`: symmetric, no eigenvalue below zero, (rank, rank).
    """
    if len(matrix) <= SMALL:
        return _falling(matrix)
    generator = torch.Generator(matrix.device).manual_seed(0)
    shape = (len(matrix), SKETCH)
    basis = torch.randn(shape, generator=generator, device=matrix.device, dtype=matrix.dtype)
    for _ in range(PASSES):
        basis = torch.linalg.qr(matrix @ basis).Q
    values, vectors = _falling(basis.T @ matrix @ basis)
    return values, basis @ vectors


def carriers(metric: Tensor, train: Tensor, mapped: Tensor) -> tuple[Tensor, Tensor] | None:
    """Eigenvalues and eigenvectors of a metric that carry the distances; None if that takes too many.

    Args:
        metric: (rank, rank).
        train: Centred points, (n, rank).
        mapped: Their products with the metric, (n, rank).
    """
    values, vectors = leading(metric)
    carried = (values * (train @ vectors).square().sum(dim=0)).double().cumsum(dim=0)
    total = carried[-1] if len(values) == len(metric) else (mapped * train).sum(dtype=torch.float64)
    count = int((carried < (1 - TAIL) * total).sum()) + 1
    return None if count >= len(values) else (values[:count], vectors[:, :count])


def top_eigenvector(matrix: Tensor) -> Tensor:
    """The unit eigenvector of the largest eigenvalue, (rank,).

    `matrix`: symmetric, no eigenvalue below zero, (rank, rank).
    """
    values, vectors = leading(matrix)
    value, vector = values[0], vectors[:, 0]
    if (matrix @ vector - value * vector).norm() > RESIDUAL * value:  # the next eigenvalue is too near
        vector = _falling(matrix)[1][:, 0]
    return vector / vector.norm()


def _falling(matrix: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(matrix)
    return values.flip(0).clamp(min=0), vectors.flip(1)
