"""A plan's vectors where the layers are: made once, for all calls of one length."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmsteer.steering.decoding import bank_of
from mmsteer.steering.limits import Limits
from mmsteer.steering.places import Place, by_site, side_by_side
from mmsteer.steering.plan import Plan


class PlacedPlan:
    """A plan as forwards look it up.

    Attributes:
        plan: The plan.
        places: The places of its sites.
        limits: How large its pushes get.
    """

    def __init__(self, plan: Plan, places: Sequence[Place]) -> None:
        self.plan, self.places = plan, places
        self.limits = Limits(plan.vectors, by_site(plan.table, places), plan.others)
        self._vectors: dict[torch.device, list[Tensor]] = {}
        self._banks: dict[torch.device, Tensor] = {}

    @property
    def is_on_one_device(self) -> bool:
        """Whether all layers that were steered so far are on one device."""
        return len(self._vectors) == 1

    def vectors(self, device: torch.device) -> list[Tensor]:
        """What each column adds, (columns, width) a place.

        Args:
            device: Of a layer.
        """
        if device not in self._vectors:
            # The next call may be one with gradients.
            with torch.inference_mode(False):
                self._vectors[device] = [one.to(device) for one in side_by_side(self.plan.vectors, self.places)]
        return self._vectors[device]

    def bank(self, device: torch.device) -> Tensor:
        """The vectors as `Decoding` multiplies them.

        Args:
            device: Where the batch is.
        """
        if device not in self._banks:
            with torch.inference_mode(False):
                self._banks[device] = bank_of(self.vectors(device), self.plan.table)
        return self._banks[device]
