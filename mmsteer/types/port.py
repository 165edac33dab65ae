"""Where a hidden state passes in a model's code."""

from dataclasses import dataclass
from typing import Literal

from torch import nn


@dataclass(frozen=True)
class Port:
    """A module, and on which side of it a hidden state passes.

    Attributes:
        module: The module.
        side: `output`, what it returns; `input`, what it is given, its first argument, which an edit replaces for this
            module alone; `stream`, the same argument where a residual connection carries it past the module as well, so
            that an edit changes it in place.
        part: Which numbers of the state, from and to; None for all.
        grid: Whether a state of four dimensions is (rows, lines, columns, width), the tokens of a row in lines; if not,
            its first two dimensions are rows.
        stream: Which of several states that are stacked in the first dimension; None where there is one.
    """

    module: nn.Module
    side: Literal["output", "input", "stream"] = "output"
    part: tuple[int, int] | None = None
    grid: bool = False
    stream: int | None = None
