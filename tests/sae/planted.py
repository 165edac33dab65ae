"""Hidden states made from a known dictionary."""

import torch
from torch import Tensor
from torch.nn import functional

from mmsteer.sae import SparseDictionary


def planted(features=48, width=24, rows=8192, active=3, seed=1234, offset=0.0) -> tuple[Tensor, Tensor]:
    """Unit directions (features, width), and hidden states (rows, width) that are sums of a few of them."""
    generator = torch.Generator().manual_seed(seed)
    directions = functional.normalize(torch.randn(features, width, generator=generator), dim=1)
    which = torch.rand(rows, features, generator=generator).topk(active, dim=1).indices
    amounts = 1 + torch.rand(rows, active, generator=generator)
    z = torch.zeros(rows, features).scatter(1, which, amounts)
    return directions, 7.0 * (z @ directions) + offset


def recovered(dictionary: SparseDictionary, directions: Tensor) -> float:
    """Mean over planted directions of the largest cosine with a feature's."""
    rows = functional.normalize(dictionary.decoder, dim=1)
    return float((directions @ rows.T).amax(dim=1).mean())
