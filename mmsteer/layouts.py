"""What the tokens of a reading are, known as it runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmsteer import hooks
from mmsteer.types import Adapter, Layout, Reading


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
