"""Laplace-family kernel machines with a metric, and their average gradient outer product.

    d²(x, z) = (x - z)' M (x - z)        K = exp(-(d / L)^q)        f(x) = Σ_i a_i K(x_i, x)
    ∇f(z_j) = Σ_i a_i W_ij M (z_j - x_i)        W = -(q / L^q) K d^(q-2)
    AGOP = (1/n) Σ_j ∇f(z_j) ∇f(z_j)'

Source: Radhakrishnan et al. 2024, arXiv:2212.13881; Beaglehole et al. 2025, arXiv:2508.10053 (xRFM).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# Below this share of the largest squared norm, a float32 squared distance is rounding noise, and
# d^(q-2) would blow it up; such a pair has no direction to contribute.
NOISE = 1e-6


@dataclass(frozen=True)
class Setting:
    """One choice of a kernel machine's numbers.

    Attributes:
        bandwidth: L, in the unit of the probe.
        exponent: q; 1 is the Laplace kernel, 2 the Gaussian.
        ridge: λ, added to the diagonal of the kernel matrix.
        centre: Whether the metric is learned from gradients minus their mean.
    """

    bandwidth: float = 10.0
    exponent: float = 1.0
    ridge: float = 1e-3
    centre: bool = False


def kernel(d2: Tensor, setting: Setting) -> Tensor:
    """Kernel values of squared distances, the same shape.

    Args:
        d2: Squared distances.
        setting: Bandwidth and exponent.
    """
    return (d2.sqrt() / setting.bandwidth).pow_(setting.exponent).neg_().exp_()


def solve(d2: Tensor, columns: Tensor, setting: Setting) -> Tensor:
    """Kernel ridge regression: coefficients a with (K + λI) a = y, (n, labels).

    Args:
        d2: Squared distances between the training points, (n, n).
        columns: Targets, (n, labels).
        setting: The kernel and the ridge.
    """
    # float64: a wide kernel with λ = 1e-5 has a condition number near 1e8, too much for float32.
    matrix = kernel(d2.double(), setting)
    matrix.diagonal().add_(setting.ridge)
    return torch.linalg.solve(matrix, columns.double()).to(d2.dtype)


class Gradients:
    """Gradients of the outputs of one kernel machine at its training points, one output at a time.

    All outputs at once would take labels × n × n numbers; one takes n × n and two matrix products.
    """

    def __init__(self, mapped: Tensor, d2: Tensor, coefficients: Tensor, setting: Setting) -> None:
        self._mapped = mapped
        self._coefficients = coefficients
        self._weights = _weights(d2, setting)

    def of(self, output: int) -> Tensor:
        """Gradient of one output at every training point, (n, rank).

        Args:
            output: Which column of the coefficients.
        """
        own = self._coefficients[:, output, None]
        return (self._weights.T @ own) * self._mapped - self._weights.T @ (own * self._mapped)

    def outer(self, output: int) -> Tensor:
        """AGOP of one output, (rank, rank).

        Args:
            output: Which column of the coefficients.
        """
        gradient = self.of(output)
        return gradient.T @ gradient / len(gradient)

    def metric(self, *, centre: bool) -> Tensor:
        """Mean of the AGOPs of all outputs, (rank, rank).

        Args:
            centre: Subtract the mean gradient over points and outputs first.
        """
        outputs = self._coefficients.shape[1]
        total, mean = self._mapped.new_zeros(()), self._mapped.new_zeros(())
        for output in range(outputs):
            gradient = self.of(output)
            total = total + gradient.T @ gradient / len(gradient)
            mean = mean + gradient.mean(dim=0)
        mean = mean / outputs
        return total / outputs - torch.outer(mean, mean) if centre else total / outputs


def _weights(d2: Tensor, setting: Setting) -> Tensor:
    power = setting.exponent
    weights = kernel(d2, setting).mul_(-power / setting.bandwidth**power)
    real = d2 > NOISE * d2.max()
    return weights.mul_(d2.where(real, 1).pow_(power / 2 - 1)).mul_(real)
