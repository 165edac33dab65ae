"""What a driver keeps of a sequence while it runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.steering.pushes import Pushes


@dataclass(eq=False)
class Track:
    """The rows that run together: all branches of guidance, or one where branches run one after another.

    Attributes:
        branch: The one branch; None for all.
        pushes: What is added to its rows.
        given: Tokens of the prompt.
        origin: Cache position whose state predicts output step 0.
        is_prompted: Whether the prompt has run to its end.
    """

    branch: int | None
    pushes: Pushes
    given: int
    origin: int = 0
    is_prompted: bool = False

    @property
    def is_beside(self) -> bool:
        """Whether its forwards come after those of another branch, at the same steps."""
        return bool(self.branch)


def decode_table(tracks: Sequence[Track]) -> Tensor:
    """The coefficients of decoding of all rows, (layers or 1, steps, rows, columns).

    Args:
        tracks: In the order of their branches.
    """
    tables = [track.pushes.decoding.table for track in tracks]
    return tables[0] if len(tables) == 1 else torch.cat(tables, dim=2)
