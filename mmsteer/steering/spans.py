"""Rows padded on the right, in one forward: each has a prompt of its own length, and so a clock of its own."""

import torch
from torch import Tensor

from mmsteer.types import Kind, Layout

_PARTS = int(Kind.PROMPT | Kind.GENERATED | Kind.LAST)


def spanned(layout: Layout, spans: tuple[tuple[int, int], ...]) -> tuple[Layout, Tensor]:
    """What the tokens of such a forward are, and the output step that each predicts.

    Args:
        layout: What they are if all of a row is its prompt.
        spans: Of each row how many tokens are its prompt's, and how many it has.

    Returns:
        The layout, and the steps, (rows, tokens); those of padding are 0.
    """
    device = layout.kinds.device
    given, ends = torch.tensor(spans, device=device).T.unsqueeze(-1)
    place = torch.arange(layout.kinds.shape[1], device=device)
    parts = torch.where(place < given, int(Kind.PROMPT), int(Kind.GENERATED)) + int(Kind.LAST) * (place == given - 1)
    is_real = (place < ends) & (layout.kinds != Kind.PADDING)
    kinds = ((layout.kinds & ~_PARTS) | parts).masked_fill(~is_real, int(Kind.PADDING))
    return Layout(kinds, layout.origin), (place - (given - 1)).masked_fill(~is_real, 0)
