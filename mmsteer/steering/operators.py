"""What an edit does to a hidden state. Amount zero leaves it as it is, bit for bit.

Each operator takes the hidden state h (rows, tokens, width), the amount c (rows, tokens, 1), a unit vector v (width,)
and a scale s that turns the strength into the units of the state. `add` is not here: the engine sums all added
attributes into one tensor per layer.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Operator = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def rotate(h: Tensor, c: Tensor, v: Tensor, s: float) -> Tensor:
    """Add `c s v`, then restore the norm: the state turns towards v and keeps its length.

    Args:
        h: Hidden state.
        c: Amount.
        v: Unit vector.
        s: Scale.
    """
    moved = h + c * s * v
    length = torch.linalg.vector_norm(h, dim=-1, keepdim=True)
    return moved * (length / torch.linalg.vector_norm(moved, dim=-1, keepdim=True)).nan_to_num(1.0)


def project_out(h: Tensor, c: Tensor, v: Tensor, s: float) -> Tensor:
    """Remove the share c of the component along v; 1 removes it all. The scale plays no part.

    Args:
        h: Hidden state.
        c: Amount.
        v: Unit vector.
        s: Scale.
    """
    return h - c * (h @ v).unsqueeze(-1) * v


def clamp(h: Tensor, c: Tensor, v: Tensor, s: float) -> Tensor:
    """Move the component along v towards the target s, by the share c; 1 moves it all the way.

    Args:
        h: Hidden state.
        c: Amount.
        v: Unit vector.
        s: Target of the component, strength times unit.
    """
    return h + c * (s - (h @ v).unsqueeze(-1)) * v


OPERATORS: dict[str, Operator] = {"rotate": rotate, "project_out": project_out, "clamp": clamp}
NAMES = ("add", *OPERATORS)
