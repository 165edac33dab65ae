"""Projections on directions, and the straight line from a projection to a target."""

from dataclasses import dataclass

import torch
from torch import Tensor

COINCIDE = 1e-6


def project(x: Tensor, directions: Tensor) -> Tensor:
    """Projections of hidden states, (n, labels); with a direction for each token, their mean over the tokens.

    `x`: hidden states, (n, width) or (n, tokens, width).
    `directions`: unit vectors, (width, labels) or (tokens, width, labels).
    """
    if directions.ndim == 2:
        return x @ directions
    return torch.einsum("ntd,tdk->nk", x, directions) / len(directions)


@dataclass(frozen=True, eq=False)
class Line:
    """Projections with a slope and an offset each.

    Attributes:
        directions: Unit vectors, (width, labels) or (tokens, width, labels).
        slope: (labels,).
        offset: (labels,).
    """

    directions: Tensor
    slope: Tensor
    offset: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Predictions, (n, labels).

        `x`: hidden states, (n, width) or (n, tokens, width).
        """
        return project(x.to(self.directions), self.directions) * self.slope + self.offset


def fit_line(x: Tensor, columns: Tensor, directions: Tensor) -> Line:
    """The least-squares line from the projections to the targets.

    Args:
        x: Hidden states, (n, width) or (n, tokens, width).
        columns: Targets, (n, labels).
        directions: Unit vectors, (width, labels) or (tokens, width, labels).
    """
    projection, wanted = project(x.double(), directions.double()), columns.double()
    centred = projection - projection.mean(dim=0)
    slope = (centred * wanted).sum(dim=0) / centred.square().sum(dim=0)
    offset = wanted.mean(dim=0) - slope * projection.mean(dim=0)
    return Line(directions.float(), slope.float(), offset.float())
