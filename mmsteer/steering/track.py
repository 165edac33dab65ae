"""What a driver keeps of a sequence while it runs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.steering.progress import Progress
from mmsteer.steering.pushes import Pushes
from mmsteer.types import Forward, Layout


@dataclass(eq=False)
class Track:
    """The rows that run together: all branches of guidance, or one where branches run one after another.

    Attributes:
        branch: The one branch; None for all.
        pushes: What is added to its rows.
        given: Tokens of the prompt.
        origin: Cache position whose state predicts output step 0.
        is_prompted: Whether the prompt has run to its end.
        progress: Of its thoughts, where positions tell them from answers.
    """

    branch: int | None
    pushes: Pushes
    given: int
    origin: int = 0
    is_prompted: bool = False
    progress: Progress | None = None

    @property
    def is_beside(self) -> bool:
        """Whether its forwards come after those of another branch, at the same steps."""
        return bool(self.branch)

    def note(self, layout: Layout, forward: Forward) -> Layout:
        """The layout of a forward of several tokens, with what is known of thoughts."""
        return self.progress.note(layout, forward) if self.progress else layout

    def applied(self) -> Tensor:
        """The coefficients of decoding as they were, (places or 1, steps, rows, columns)."""
        steps = self.pushes.decoding.table.shape[1]
        return self.pushes.applied(self.progress.from_position(self.origin, steps) if self.progress else None)


def side_by_side(tables: list[Tensor]) -> Tensor:
    """Coefficients of all rows.

    `tables`: those of each track, (places or 1, steps, rows, columns), in the order of their branches.
    """
    return tables[0] if len(tables) == 1 else torch.cat(tables, dim=2)
