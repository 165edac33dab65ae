"""Pooled activations of samples and what is known of the samples: what selectors and coefficient rules are given."""

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError


def check_samples(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The same in float64, once it is sure that they belong together.

    `z`: pooled activations, (n, features).
    `y`: labels or rewards, (n,).

    Raises:
        DictionaryError: The shapes do not fit, or a number is not finite.
    """
    if z.ndim != 2 or y.shape != z.shape[:1] or len(z) < 2:
        raise DictionaryError(
            f"activations {tuple(z.shape)} and labels {tuple(y.shape)} are not (n, features) and (n,) of two samples "
            "or more; pool the activations of each sample first"
        )
    # float64: sums over thousands of samples, and differences of nearly equal means.
    wide = z.double(), y.to(z.device).double()
    if not all(bool(torch.isfinite(tensor).all()) for tensor in wide):
        raise DictionaryError("an activation or a reward is not finite; leave out samples that could not be scored")
    return wide


def positive_samples(y: Tensor) -> Tensor:
    """Which samples are positive, (n,) bool: those labelled true, or with a reward above zero.

    `y`: labels or rewards, (n,).

    Raises:
        DictionaryError: All samples are positive, or none is.
    """
    positive = y > 0
    if positive.all() or not positive.any():
        raise DictionaryError(
            f"{int(positive.sum())} of {len(y)} samples are positive; features that tell the two sides apart need "
            "both, so give labels, or rewards that are above zero for good samples only"
        )
    return positive
