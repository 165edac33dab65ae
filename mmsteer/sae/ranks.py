"""Processes that train one dictionary: each holds all weights and learns from a part of every batch."""

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from mmsteer.ranks import Ranks


class DictionaryRanks(Ranks):
    """The processes that train one dictionary.

    The first one reads the hidden states and sends them to the others. After every step all have the same weights, bit
    for bit, as all take the same sums.
    """

    def begin(self, width: int, done: int) -> tuple[int, int]:
        """Give the others the width of hidden states and the steps that are done, or get them from the first one."""
        return self.all_gather((width, done))[0]

    def share(self, tensors: Iterable[Tensor], device: torch.device | str) -> None:
        """Overwrite tensors by those of the first one."""
        if self.count == 1:
            return
        for tensor in tensors:
            held = tensor.detach().to(device)
            dist.broadcast(held, src=0)
            tensor.detach().copy_(held)

    def send(self, batch: Tensor) -> Tensor:
        """Give the others a batch, (rows, width), and return it.

        Raises:
            RanksError: It has fewer hidden states than there are processes.
        """
        self.check_enough(len(batch), "hidden states")
        if self.count > 1:
            dist.broadcast(torch.tensor(len(batch), device=batch.device), src=0)
            dist.broadcast(batch.contiguous(), src=0)
        return batch

    def receive(self, width: int, device: torch.device | str) -> Tensor:
        """The batch that the first one sends, (rows, width)."""
        rows = torch.zeros((), dtype=torch.int64, device=device)
        dist.broadcast(rows, src=0)
        batch = torch.empty(int(rows), width, device=device)
        dist.broadcast(batch, src=0)
        return batch

    def add(self, tensors: Sequence[Tensor], share: float = 1.0) -> None:
        """Replace tensors by the sum of a share of everybody's, such as gradients by their mean over rows.

        Args:
            tensors: Of the same shapes everywhere.
            share: Of this one's.
        """
        if self.count > 1:
            for tensor in tensors:
                dist.all_reduce(tensor.mul_(share) if share != 1 else tensor)
