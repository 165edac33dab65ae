"""What the tokens of a reading are, known as it runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from mmsteer import hooks
from mmsteer.types import Adapter, Forward, Layout, Reading, Tokens, open_behind, thoughts, with_thoughts


@contextmanager
def layouts(adapter: Adapter, stack: str, reading: Reading) -> Iterator[list[Layout]]:
    """The layout of every forward of a stack, in the order in which they run inside the block.

    Args:
        adapter: The model.
        stack: The stack's name.
        reading: What the model reads.
    """
    found: list[Layout] = []

    def tick(arguments: Mapping[str, Any]) -> None:
        forward = adapter.forward(stack, arguments)
        layout = adapter.layout(stack, forward, arguments, reading.call.prompt or forward.width)
        found.append(_with_thoughts(adapter, forward, layout))

    with hooks.clock(adapter.stack(stack), tick):
        yield found


def tokens_of(adapter: Adapter, stack: str, layout: Layout) -> Tokens:
    """The tokens of a forward, from which positions are chosen.

    Args:
        adapter: The model.
        stack: The stack's name.
        layout: What the tokens are.
    """
    place = torch.arange(layout.kinds.shape[1], device=layout.kinds.device)
    # Only the stack that makes the output knows time.
    steps = place - layout.origin if stack == adapter.generator else torch.zeros_like(place)
    return Tokens(layout.kinds, steps, adapter.rate)


def _with_thoughts(adapter: Adapter, forward: Forward, layout: Layout) -> Layout:
    if adapter.marks is None or forward.ids is None:
        return layout
    before = torch.zeros(forward.rows, dtype=torch.bool, device=forward.ids.device)
    behind = open_behind(forward.ids, adapter.marks, before)
    return Layout(with_thoughts(layout.kinds, thoughts(behind, before)), layout.origin)
