"""How large a push may be: what the layers that follow can still compute with."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmsteer.errors import SteeringError
from mmsteer.steering.plan import StateDependentEdit

WIDEST = torch.finfo(torch.float32).max
"""Norm layers square the state and sum over its width, in float32 whatever the state is in."""


class Limits:
    """The largest numbers that a plan adds to a hidden state."""

    def __init__(self, vectors: Tensor, table: Tensor, others: Sequence[StateDependentEdit]) -> None:
        """Find them.

        Args:
            vectors: What a coefficient of one adds, (sites, columns, width).
            table: Coefficients, (sites or 1, steps, rows, columns).
            others: Attributes that are more than a sum.
        """
        most = table.abs().amax(dim=(1, 2)).double()
        sizes = vectors.abs().double()
        self._entry = float((most.unsqueeze(1) @ sizes).max()) if sizes.numel() else 0.0
        norms = (most * sizes.norm(dim=-1)).sum(dim=-1)
        # Each layer adds to what the layers before it have added.
        self._norm = float(norms.sum()) + sum(
            float(most[:, other.column].max()) * abs(scale) for other in others for scale in other.scales.values()
        )

    def check(self, dtype: torch.dtype) -> None:
        """Refuse a push that a hidden state cannot take.

        Raises:
            SteeringError: It is too large.
        """
        most = torch.finfo(dtype).max
        # Not the other way round: what is not a number passes no limit.
        if not (self._entry <= most and self._norm <= WIDEST**0.5):
            raise SteeringError(
                f"the strengths ask for a push of norm {self._norm:.3g}, with entries up to {self._entry:.3g}: a state "
                f"of {str(dtype).removeprefix('torch.')} holds entries up to {most:.3g}, and norm layers norms up to "
                f"{WIDEST**0.5:.3g}, so the output would be no numbers; choose lower strengths, such as 0.1"
            )
