"""How several added directions share a site."""

import torch
from torch import Tensor

from mmsteer.errors import SteeringError

PARALLEL = 1e-4
"""Directions whose cosine is closer to 1 than this cannot be told apart, so not made orthogonal either."""


def compose(vectors: Tensor, how: str) -> Tensor:
    """Unit vectors made to share a site.

    `vectors`: one unit vector a row, (attributes, width); zero rows stay zero.
    `how`: `sum`, `gram_schmidt` or `whiten`.

    Raises:
        SteeringError: Two directions are parallel, so that one would vanish.
    """
    present = vectors.norm(dim=1) > 0
    if how == "sum" or present.sum() < 2:
        return vectors
    composed = torch.zeros_like(vectors)
    composed[present] = {"gram_schmidt": _gram_schmidt, "whiten": _whiten}[how](vectors[present])
    return composed


def _gram_schmidt(vectors: Tensor) -> Tensor:
    basis, triangle = torch.linalg.qr(vectors.double().T)
    lengths = triangle.diagonal()
    _refuse_parallel(lengths.abs().min())
    # QR fixes neither sign: an attribute keeps the side it pointed to.
    return (basis * lengths.sign()).T.float()


def _whiten(vectors: Tensor) -> Tensor:
    gram = vectors.double() @ vectors.double().T
    values, axes = torch.linalg.eigh(gram)
    _refuse_parallel(values.min().clamp(min=0).sqrt())
    return (axes @ torch.diag(values.rsqrt()) @ axes.T @ vectors.double()).float()


def _refuse_parallel(smallest: Tensor) -> None:
    if smallest < PARALLEL**0.5:
        raise SteeringError("two of the attributes push along the same direction; combine them into one, or use sum")
