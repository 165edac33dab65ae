"""What an edit does to a hidden state. Amount zero leaves it as it is, bit for bit.

Each operator takes the hidden state h (rows, tokens, width) in float32 or better, the amount c (rows, tokens, 1), a
unit vector v, (width,) or one for each token (tokens, width), and a scale s that turns the strength into the units of
the state: a number, or one for each token (rows, tokens, 1).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Scale = float | Tensor
Operator = Callable[[Tensor, Tensor, Tensor, Scale], Tensor]


def add(h: Tensor, c: Tensor, v: Tensor, s: Scale) -> Tensor:
    """Add `c s v`. Where nothing depends on the state, the engine sums such pushes into one tensor per layer instead.

    Args:
        h: Hidden state.
        c: Amount.
        v: Unit vector.
        s: Scale.
    """
    return h + c * s * v


def rotate(h: Tensor, c: Tensor, v: Tensor, s: Scale) -> Tensor:
    """Add `c s v`, then restore the norm: the state turns towards v and keeps its length.

    With s = |h| this is VTI's released edit, unit(unit(h) + c v) |h|.

    Args:
        h: Hidden state.
        c: Amount.
        v: Unit vector.
        s: Scale.

    Source: Liu et al. 2024, arXiv:2410.15778, and its code.
    """
    moved = h + c * s * v
    length = torch.linalg.vector_norm(h, dim=-1, keepdim=True)
    return moved * (length / torch.linalg.vector_norm(moved, dim=-1, keepdim=True)).nan_to_num(1.0)


def project_out(h: Tensor, c: Tensor, v: Tensor, s: Scale) -> Tensor:
    """Remove the share c of the component along v; 1 removes it all. The scale plays no part.

    Args:
        h: Hidden state.
        c: Amount.
        v: Unit vector.
        s: Scale.
    """
    return h - c * component(h, v) * v


def clamp(h: Tensor, c: Tensor, v: Tensor, s: Scale) -> Tensor:
    """Move the component along v towards the target s, by the share c; 1 moves it all the way.

    Args:
        h: Hidden state.
        c: Amount.
        v: Unit vector; a token whose row is zero stays as it is.
        s: Target of the component, strength times unit.
    """
    return h + c * (s - component(h, v)) * v


def component(h: Tensor, v: Tensor) -> Tensor:
    """The component of every token along v, (rows, tokens, 1).

    Args:
        h: Hidden state.
        v: Unit vector.
    """
    return (h @ v if v.ndim == 1 else (h * v).sum(dim=-1)).unsqueeze(-1)


OPERATORS: dict[str, Operator] = {"add": add, "rotate": rotate, "project_out": project_out, "clamp": clamp}
NAMES = tuple(OPERATORS)
