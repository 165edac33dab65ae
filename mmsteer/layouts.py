"""What the tokens of a reading are, known as it runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from mmsteer import hooks
from mmsteer.types import Adapter, Layout, Reading, Tokens


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
        found.append(adapter.layout(stack, forward, arguments, reading.call.prompt or forward.width))

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
