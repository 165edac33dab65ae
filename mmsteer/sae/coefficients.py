"""How strong chosen features should be, from how active they are: one number each, in units of the activation.

A coefficient times the feature's decoder row is what a rule would add to the hidden state.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.sae.samples import check_samples


class CoefficientRule(Protocol):
    """Coefficients (k,) float64 of the named features."""

    def __call__(self, z: Tensor, y: Tensor, features: Sequence[int]) -> Tensor:
        """See the rules.

        Args:
            z: Pooled activations, (n, features).
            y: Labels or rewards, (n,).
            features: Which features, (k,).
        """


def maximum(z: Tensor, y: Tensor, features: Sequence[int], alpha: float = 1.0) -> Tensor:
    """A multiple of the largest activation.

    `z`: pooled activations, (n, features); max-pooled, for the maximum over tokens.
    `y`: labels or rewards, (n,); they play no part.
    `features`: which features, (k,).

    Source: Wu et al. 2025 (AxBench), arXiv:2501.17148.
    """
    return alpha * _chosen(z, y, features).amax(dim=0)


def positive_mean(z: Tensor, y: Tensor, features: Sequence[int]) -> Tensor:
    """The mean activation over the positive samples.

    Args:
        z: Pooled activations, (n, features).
        y: Labels or rewards, (n,).
        features: Which features, (k,).

    Source: Cho et al. 2025 (CorrSteer), arXiv:2508.12535.
    """
    return _positive(z, y, features).mean(dim=0)


def mean_plus_spread(z: Tensor, y: Tensor, features: Sequence[int], beta: float = 1.0) -> Tensor:
    """The mean activation over the positive samples and a multiple of its standard deviation there.

    `z`: pooled activations, (n, features).
    `y`: labels or rewards, (n,).
    `features`: which features, (k,).

    Source: He et al. 2025 (SAIF), arXiv:2502.11356.
    """
    positive = _positive(z, y, features)
    return positive.mean(dim=0) + beta * positive.std(dim=0, correction=0)


def mean_difference(z: Tensor, y: Tensor, features: Sequence[int], alpha: float = 1.0) -> Tensor:
    """A multiple of how far the mean activation over the positive samples lies above that over all samples.

    `z`: pooled activations, (n, features).
    `y`: labels or rewards, (n,).
    `features`: which features, (k,).

    Source: Yang et al. 2025 (LF-Steering), arXiv:2501.11036.
    """
    return alpha * (_positive(z, y, features).mean(dim=0) - _chosen(z, y, features).mean(dim=0))


COEFFICIENTS: Mapping[str, CoefficientRule] = MappingProxyType(
    {
        "maximum": maximum,
        "positive_mean": positive_mean,
        "mean_plus_spread": mean_plus_spread,
        "mean_difference": mean_difference,
    }
)
"""The rules by name."""


def _chosen(z: Tensor, y: Tensor, features: Sequence[int]) -> Tensor:
    # Activations of the features, (n, k) float64.
    z, _ = check_samples(z, y)
    if not features or not all(0 <= feature < z.shape[1] for feature in features):
        raise DictionaryError(f"features {list(features)} are not some of the {z.shape[1]} whose activations are given")
    return z[:, list(features)]


def _positive(z: Tensor, y: Tensor, features: Sequence[int]) -> Tensor:
    # Activations of the features in the positive samples, (positive, k) float64.
    if not (y > 0).any():
        raise DictionaryError(f"none of {len(y)} samples is positive; a coefficient is measured on at least one")
    return _chosen(z, y, features)[y.to(z.device) > 0]
