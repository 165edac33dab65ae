"""Correlation of activations with a reward, in one pass."""

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.sae.samples import check_samples

LEAST_VARIANCE = 1e-12
"""Variances count as at least this, so that a feature that never varies correlates with nothing."""


class Correlation:
    """Pearson correlation of every feature with a reward, batch after batch, in memory for the features alone.

    Moments are kept about the mean so far in float64: with plain sums of squares, a reward such as a MIDI note, far
    from zero and of small spread, would cancel.

    Source: Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115 (merging of moments); Cho et al. 2025,
    arXiv:2508.12535 (its use, and the least variance).
    """

    def __init__(self, features: int) -> None:
        """Start at nothing.

        Args:
            features: Number of features.
        """
        self._n = 0
        self._mean = torch.zeros(features + 1, dtype=torch.float64)  # the reward is the last column
        self._squares = torch.zeros(features + 1, dtype=torch.float64)
        self._products = torch.zeros(features, dtype=torch.float64)

    def add(self, z: Tensor, y: Tensor) -> None:
        """Count a batch.

        Args:
            z: Pooled activations, (n, features).
            y: Labels or rewards, (n,).
        """
        both = torch.cat([z.double(), y.double().to(z.device)[:, None]], dim=1).cpu()
        n, mean = len(both), both.mean(dim=0)
        centred, apart = both - mean, mean - self._mean
        weight = self._n * n / (self._n + n)
        self._squares += centred.square().sum(dim=0) + apart.square() * weight
        self._products += centred[:, -1] @ centred[:, :-1] + apart[:-1] * apart[-1] * weight
        self._mean += apart * n / (self._n + n)
        self._n += n

    def read(self) -> Tensor:
        """The correlation of each feature, (features,) float64; zero for a feature or a reward that never varied.

        Raises:
            DictionaryError: There were fewer than two samples.
        """
        if self._n < 2:
            raise DictionaryError(f"{self._n} samples have no correlation; give two or more")
        variance = (self._squares / self._n).clamp(min=LEAST_VARIANCE)
        return self._products / self._n / (variance[:-1] * variance[-1]).sqrt()


def pearson(z: Tensor, y: Tensor) -> Tensor:
    """Correlation with the reward.

    `z`: pooled activations, (n, features).
    `y`: labels or rewards, (n,).

    Source: Cho et al. 2025 (CorrSteer), arXiv:2508.12535.
    """
    z, y = check_samples(z, y)
    sums = Correlation(z.shape[1])
    sums.add(z, y)
    return sums.read()
