"""Kernel machines of the family K_{p,q} with a metric, and their average gradient outer product.

    u = M^(1/2) (x - z)        K = exp(-(‖u‖_p / L)^q)        f(x) = Σ_i a_i K(x_i, x)
    ∇f(z_j) = Σ_i a_i W_ij M^(1/2) sign(u) |u|^(p-1)        W = (q / L^q) K ‖u‖_p^(q-p)

With p = 2 this is `kernel`'s K_{2,q}. Other norms have no inner products to be computed from: a block of differences
is (rows, m, rank), which a few columns of projections allow and hidden states do not.

Source: Beaglehole et al. 2025, arXiv:2508.10053 (xRFM); Zhao et al. 2025, arXiv:2510.19127 (MusicRFM), table 7.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.probes.bounds import Positive
from mmsteer.probes.kernel import Setting

# Numbers in a block of differences.
BLOCK = 2**22
# Distances below this share of the largest are rounding noise, which ‖u‖^(q-p) would blow up.
NOISE = 1e-5


@dataclass(frozen=True)
class NormSetting(Setting):
    """One choice of the numbers of a machine with a kernel K_{p,q}.

    Attributes:
        norm: p; the kernel is positive definite for q <= p <= 2.
    """

    norm: Positive = 2.0


@dataclass(frozen=True, eq=False)
class NormMachine:
    """A predictor with a kernel K_{p,q}.

    Attributes:
        train: Training points, (n, rank).
        root: M^(1/2), (rank, rank).
        coefficients: (n, labels).
        setting: The kernel.
    """

    train: Tensor
    root: Tensor
    coefficients: Tensor
    setting: NormSetting

    @classmethod
    def fit(cls, train: Tensor, columns: Tensor, root: Tensor, setting: NormSetting) -> "NormMachine":
        """Kernel ridge regression: (K + λI) a = y.

        Args:
            train: Training points, (n, rank).
            columns: Targets, (n, labels).
            root: M^(1/2), (rank, rank).
            setting: Kernel and ridge.
        """
        values = _kernel(train @ root, train @ root, setting).double()
        values.diagonal().add_(setting.ridge)
        return cls(train, root, torch.linalg.solve(values, columns.double()).to(train.dtype), setting)

    def __call__(self, x: Tensor) -> Tensor:
        """Predictions, (n, labels).

        Args:
            x: Points, (n, rank).
        """
        return _kernel(x @ self.root, self.train @ self.root, self.setting) @ self.coefficients

    def gradients(self, points: Tensor) -> Tensor:
        """Gradients of every output at some points, (n, labels, rank); zero where a point is its own neighbour.

        Args:
            points: (n, rank).
        """
        mapped, setting = self.train @ self.root, self.setting
        parts = []
        for difference in _differences(points @ self.root, mapped):
            distance = torch.linalg.vector_norm(difference, ord=setting.norm, dim=-1)
            weights = _slopes(distance, setting).masked_fill_(distance <= NOISE * distance.max(), 0)
            # A coordinate in which two points agree has no slope, also where p < 1 and the power is infinite.
            steep = difference.sign() * difference.abs().clamp(min=1e-30).pow(setting.norm - 1)
            parts.append(torch.einsum("nm,ml,nmr->nlr", weights, self.coefficients, steep))
        return torch.cat(parts) @ self.root

    def agop(self) -> Tensor:
        """Mean over points and outputs of the outer products of the gradients, centred if so set, (rank, rank)."""
        gradients = self.gradients(self.train).flatten(0, 1)
        if self.setting.centre:
            gradients = gradients - gradients.mean(dim=0)
        return gradients.T @ gradients / len(gradients)


def square_root(metric: Tensor) -> Tensor:
    """The symmetric root of a metric, (rank, rank).

    Args:
        metric: Symmetric, no eigenvalue below zero but for rounding, (rank, rank).
    """
    values, vectors = torch.linalg.eigh(metric)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def _kernel(x: Tensor, z: Tensor, setting: NormSetting) -> Tensor:
    distance = torch.cdist(x, z, p=setting.norm)
    return (-(distance / setting.bandwidth).pow(setting.exponent)).exp()


def _slopes(distance: Tensor, setting: NormSetting) -> Tensor:
    """What multiplies each sign(u) |u|^(p-1): the gradient is taken at z, and u = M^(1/2) (x - z)."""
    power = setting.exponent
    kernel = (-(distance / setting.bandwidth).pow(power)).exp()
    return kernel * distance.pow(power - setting.norm) * (power / setting.bandwidth**power)


def _differences(points: Tensor, others: Tensor) -> Iterator[Tensor]:
    """Others minus points, some rows of points at a time, (rows, m, rank)."""
    rows = max(1, BLOCK // others.numel())
    for part in points.split(rows):
        yield others[None] - part[:, None]
