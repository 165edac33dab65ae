"""Laplace-family kernel machines with a metric, and their average gradient outer product.

    d²(x, z) = (x - z)' M (x - z)        K = exp(-(d / L)^q)        f(x) = Σ_i a_i K(x_i, x)
    ∇f(z_j) = Σ_i a_i W_ij M (z_j - x_i)        W = -(q / L^q) K d^(q-2)
    AGOP = (1/n) Σ_j ∇f(z_j) ∇f(z_j)'

Source: Radhakrishnan et al. 2024, arXiv:2212.13881; Beaglehole et al. 2025, arXiv:2508.10053 (xRFM).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.probes.bounds import Positive
from mmsteer.probes.distances import Distances

# Below this share of the largest squared norm, a float32 squared distance is rounding noise, and
# d^(q-2) would blow it up; such a pair has no direction to contribute.
NOISE = 1e-6
# Share of the trace that keeps the kernel among centres positive definite: distances are of float32.
JITTER = 1e-7


@dataclass(frozen=True)
class Setting:
    """One choice of a kernel machine's numbers.

    Attributes:
        bandwidth: L, in the unit of the probe.
        exponent: q; 1 is the Laplace kernel, 2 the Gaussian.
        ridge: λ, added to the diagonal of the kernel matrix.
        centre: Whether the metric is learned from gradients minus their mean.
    """

    bandwidth: Positive = 10.0
    exponent: Positive = 1.0
    ridge: Positive = 1e-3
    centre: bool = False


def kernel(d2: Tensor, setting: Setting) -> Tensor:
    """Kernel values of squared distances, the same shape.

    `setting`: bandwidth and exponent.
    """
    return _powers(d2, setting).neg_().exp_()


def predict(d2: Distances, coefficients: Tensor, setting: Setting) -> Tensor:
    """Outputs at some points, (n, labels).

    Args:
        d2: Squared distances from them to the training points, (n, m).
        coefficients: Of the training points, (m, labels).
        setting: The kernel.
    """
    found = coefficients.new_empty(len(d2), coefficients.shape[1])
    for rows, distances in d2.blocks():
        found[rows] = kernel(distances, setting) @ coefficients
    return found


def solve(d2: Distances, columns: Tensor, setting: Setting) -> Tensor:
    """Kernel ridge regression: coefficients a with (K + λI) a = y, (n, labels).

    `d2`: squared distances between the training points, (n, n).
    `columns`: targets, (n, labels).
    """
    wanted, failed = columns.double(), torch.zeros((), dtype=torch.int32, device=d2.device)
    # In place, in the order of columns that the solver asks for: it makes no copy of the largest matrix there is.
    factor = _ridged(d2, setting.ridge, setting).mT
    torch.linalg.cholesky_ex(factor, out=(factor, failed))
    if failed:  # rounded distances can take the smallest eigenvalues below -λ
        return torch.linalg.solve(_ridged(d2, setting.ridge, setting), wanted).to(d2.dtype)
    half = torch.linalg.solve_triangular(factor, wanted, upper=False)
    return torch.linalg.solve_triangular(factor.mT, half, upper=True).to(d2.dtype)


def solve_on_centres(d2: Distances, centres: Distances, columns: Tensor, setting: Setting) -> Tensor:
    """Kernel ridge regression of all training points in the span of some: coefficients of these, (m, labels).

    Minimises |C a - y|² + λ a'Ka, where C is the kernel from the n points to the m centres and K that among centres;
    with every point a centre that is what `solve` solves. It costs n m² in place of n³.

    `d2`: squared distances from the training points to the centres, (n, m).
    `centres`: squared distances between the centres, (m, m).
    `columns`: targets, (n, labels).

    Source: Nyström's method as in Rudi, Camoriano & Rosasco 2015, arXiv:1507.04717, eq. 4.
    """
    wanted = columns.double()
    gram = torch.zeros(len(centres), len(centres), dtype=torch.float64, device=d2.device)
    moment = gram.new_zeros(len(centres), wanted.shape[1])
    for rows, distances in d2.blocks():
        values = kernel(distances, setting).double()
        gram.addmm_(values.T, values)
        moment.addmm_(values.T, wanted[rows])
    # In coordinates where K is the identity the condition number is n / λ, and not its square.
    half = torch.linalg.cholesky(_ridged(centres, JITTER * len(centres), setting))
    gram = _divided(half, _divided(half, gram).T)
    gram.diagonal().add_(setting.ridge)
    found = torch.cholesky_solve(_divided(half, moment), torch.linalg.cholesky(gram))
    return torch.linalg.solve_triangular(half.T, found, upper=True).to(d2.dtype)


def _divided(half: Tensor, matrix: Tensor) -> Tensor:
    """A lower triangle's inverse times a matrix."""
    return torch.linalg.solve_triangular(half, matrix, upper=False)


def _ridged(d2: Distances, ridge: float, setting: Setting) -> Tensor:
    # float64: a wide kernel with λ = 1e-5 has a condition number near 1e8, too much for float32.
    matrix = torch.empty(len(d2), len(d2), dtype=torch.float64, device=d2.device)
    for rows, distances in d2.blocks():
        matrix[rows] = kernel(distances, setting)
    matrix.diagonal().add_(ridge)
    return matrix


def _powers(d2: Tensor, setting: Setting) -> Tensor:
    """(d / L)^q, the same shape."""
    return (d2 / setting.bandwidth**2).pow_(setting.exponent / 2)


class Gradients:
    """Gradients of the outputs of one kernel machine at its training points, some points and one output at a time.

    All at once would take labels × n × m numbers, and the weights alone n × m.
    """

    def __init__(self, mapped: Tensor, centres: Tensor, d2: Distances, coefficients: Tensor, setting: Setting) -> None:
        """Prepare the gradients.

        Args:
            mapped: The training points times the metric, (n, rank).
            centres: The centres of the kernel times the metric, (m, rank).
            d2: Squared distances from the points to the centres, (n, m).
            coefficients: Of the centres, (m, labels).
            setting: The kernel.
        """
        self._mapped = mapped
        self._centres = centres
        self._d2 = d2
        self._coefficients = coefficients
        self._setting = setting
        self._noise = NOISE * d2.largest_norm

    def of(self, output: int) -> Tensor:
        """Gradient of one output at every training point, (n, rank).

        `output`: which column of the coefficients.
        """
        return torch.cat([self._at(rows, weights, output) for rows, weights in self._weights()])

    def outer(self, output: int) -> Tensor:
        """AGOP of one output, (rank, rank).

        `output`: which column of the coefficients.
        """
        gradient = self.of(output)
        return gradient.T @ gradient / len(gradient)

    def metric(self, *, centre: bool) -> Tensor:
        """Mean of the AGOPs of all outputs, (rank, rank).

        `centre`: subtract the mean gradient over points and outputs first.
        """
        (count, rank), outputs = self._mapped.shape, self._coefficients.shape[1]
        total, mean = self._mapped.new_zeros(rank, rank), self._mapped.new_zeros(rank)
        for rows, weights in self._weights():
            for output in range(outputs):
                gradient = self._at(rows, weights, output)
                total.addmm_(gradient.T, gradient)
                mean.add_(gradient.sum(dim=0))
        total, mean = total / (count * outputs), mean / (count * outputs)
        return total - torch.outer(mean, mean) if centre else total

    def _at(self, rows: slice, weights: Tensor, output: int) -> Tensor:
        own = self._coefficients[:, output, None]
        return (weights @ own) * self._mapped[rows] - weights @ (own * self._centres)

    def _weights(self) -> Iterator[tuple[slice, Tensor]]:
        """Rows of W = -q (d / L)^q K / d², some at a time, which is -(q / L^q) K d^(q-2)."""
        for rows, d2 in self._d2.blocks():
            powers = _powers(d2, self._setting)
            weights = (-powers).exp_().mul_(powers).div_(d2).mul_(-self._setting.exponent)
            yield rows, weights.masked_fill_(d2 <= self._noise, 0)
