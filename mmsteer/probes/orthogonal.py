"""Hidden states without what lies along given directions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.types import Direction, Site

# The least singular value at which unit vectors still count as different directions.
SAME = 1e-4


def project_away(x: Tensor, site: Site, directions: Sequence[Direction]) -> Tensor:
    """Hidden states minus their projection on the span of some directions, the same shape.

    Args:
        x: Hidden states, (n, width) or (n, tokens, width).
        site: Where they were read.
        directions: Directions with one vector at the site; none leaves the states as they are.

    Raises:
        ProbeError: A direction has no vector at the site, a vector for each token, or another width.

    Source: Gram-Schmidt; as a step of steering, REVIS, arXiv:2602.11824.
    """
    if not directions:
        return x
    basis = _basis([_vector(direction, site, x.shape[-1]) for direction in directions]).to(x.device)
    # float64: what is left may be a small part of what was there.
    states = x.double()
    return (states - (states @ basis) @ basis.T).float()


def turned_away(vector: Tensor, site: Site, directions: Sequence[Direction]) -> Tensor:
    """A vector without its part in the span of some directions, as long as before; the same shape.

    Args:
        vector: (width,), or (tokens, width) with a vector for each token, zero where there is none.
        site: Where it was found.
        directions: As for `project_away`.

    Raises:
        ProbeError: It lies in their span.
    """
    if not directions:
        return vector
    left, length = project_away(vector.cpu(), site, directions), vector.cpu().norm(dim=-1, keepdim=True)
    rest = left.norm(dim=-1, keepdim=True)
    if ((rest <= SAME * length) & (length > 0)).any():
        names = ", ".join(direction.name for direction in directions)
        raise ProbeError(f"{site}: nothing is left of the direction without {names}; leave out fewer")
    return left * torch.where(length > 0, length / rest, 0.0)


def _basis(vectors: Sequence[Tensor]) -> Tensor:
    """Orthonormal columns that span the vectors, (width, rank) float64."""
    left, sizes, _ = torch.linalg.svd(torch.stack(list(vectors), dim=1).double(), full_matrices=False)
    return left[:, sizes > SAME]


def _vector(direction: Direction, site: Site, width: int) -> Tensor:
    vector = direction.vectors.get(site)
    if vector is None or vector.shape != (width,):
        have = "no vector" if vector is None else f"a vector of shape {tuple(vector.shape)}"
        raise ProbeError(
            f"cannot leave out direction {direction.name!r} at {site}: it has {have} there, ({width},) is needed; "
            "find it at the same sites of the same model, pooled"
        )
    return vector
