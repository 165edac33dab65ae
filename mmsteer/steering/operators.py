"""What an edit does to a hidden state. Amount zero leaves it as it is, bit for bit.

Each operator takes the hidden state h (rows, tokens, width) in float32 or better, the amount c (rows, tokens, 1), a
unit vector v, (width,) or one for each token (tokens, width), a scale s that turns the strength into the units of
the state: a number, or one for each token (rows, tokens, 1); and a function that reads from a state how much of v is in
it, (rows, tokens, 1): the component along v or, where v is a feature of a sparse dictionary, its activation.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Scale = float | Tensor
Read = Callable[[Tensor], Tensor]
Operator = Callable[[Tensor, Tensor, Tensor, Scale, Read], Tensor]


def add(h: Tensor, c: Tensor, v: Tensor, s: Scale, read: Read) -> Tensor:
    """Add `c s v`. Where nothing depends on the state, the engine sums such pushes into one tensor per layer instead.

    Args:
        h: Hidden state.
        c: Amount.
        v: Unit vector.
        s: Scale.
        read: Not used.
    """
    return h + c * s * v


def rotate(h: Tensor, c: Tensor, v: Tensor, s: Scale, read: Read) -> Tensor:
    """Add `c s v`, then restore the norm: the state turns towards v and keeps its length.

    With s = |h| this is VTI's released edit, unit(unit(h) + c v) |h|.

    Args:
        h: Hidden state.
        c: Amount.
        v: Unit vector.
        s: Scale.
        read: Not used.

    Source: Liu et al. 2024, arXiv:2410.15778, and its code.
    """
    moved = h + c * s * v
    length = torch.linalg.vector_norm(h, dim=-1, keepdim=True)
    return moved * (length / torch.linalg.vector_norm(moved, dim=-1, keepdim=True)).nan_to_num(1.0)


def project_out(h: Tensor, c: Tensor, v: Tensor, s: Scale, read: Read) -> Tensor:
    """Remove the share c of what is read; 1 removes it all, 1 - r rescales it by r. The scale plays no part.

    `h`: hidden state.
    `c`: amount.
    `v`: unit vector.
    `read`: reads the state.
    """
    return h - c * read(h) * v


def clamp(h: Tensor, c: Tensor, v: Tensor, s: Scale, read: Read) -> Tensor:
    """Move what is read to the target s, by the share c; 1 moves it all the way.

    Args:
        h: Hidden state.
        c: Amount.
        v: Unit vector; a token whose row is zero stays as it is.
        s: Target, strength times unit.
        read: Reads the state.
    """
    return h + c * (s - read(h)) * v


def at_least(h: Tensor, c: Tensor, v: Tensor, s: Scale, read: Read) -> Tensor:
    """Raise what is read to the target s where it is below, by the share c; leave the rest as it is.

    Args:
        h: Hidden state.
        c: Amount.
        v: Unit vector; a token whose row is zero stays as it is.
        s: Target, strength times unit.
        read: Reads the state.

    Source: the minimum clamp of Wu et al. 2025 (AxBench), arXiv:2501.17148.
    """
    return h + c * (s - read(h)).relu() * v


def component(h: Tensor, v: Tensor) -> Tensor:
    """The component of every token along v, (rows, tokens, 1).

    `h`: hidden state.
    `v`: unit vector.
    """
    return (h @ v if v.ndim == 1 else (h * v).sum(dim=-1)).unsqueeze(-1)


OPERATORS: dict[str, Operator] = {
    "add": add,
    "rotate": rotate,
    "project_out": project_out,
    "clamp": clamp,
    "at_least": at_least,
}
NAMES = tuple(OPERATORS)
TARGETED = ("clamp", "at_least")
"""Operators whose strength is a target, not an amount."""
