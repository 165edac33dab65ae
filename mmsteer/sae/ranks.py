"""Processes of torchrun that train one dictionary: each holds all weights and learns from a part of every batch."""

import gc
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from mmsteer.errors import DictionaryError


class Ranks:
    """The processes that train together; a single one where none were started.

    The first one reads, reports and writes. After every step all have the same weights, bit for bit, as all take the
    same sums.

    Attributes:
        count: How many there are.
        number: Which this one is, from 0.
    """

    def __init__(self) -> None:
        together = dist.is_available() and dist.is_initialized()
        self.count = dist.get_world_size() if together else 1
        self.number = dist.get_rank() if together else 0

    def begin(self, width: int, done: int) -> tuple[int, int]:
        """Give the others the width of hidden states and the steps that are done, or get them from the first one."""
        told = [(width, done)]
        if self.count > 1:
            dist.broadcast_object_list(told, src=0)
        return told[0]

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
            DictionaryError: It has fewer rows than there are processes.
        """
        if len(batch) < self.count:
            raise DictionaryError(f"a batch of {len(batch)} hidden states is no work for {self.count} processes")
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

    def part(self, batch: Tensor) -> Tensor:
        """The rows of a batch that this one learns from."""
        return batch[self.number :: self.count] if self.count > 1 else batch

    def add(self, tensors: Sequence[Tensor], share: float = 1.0) -> None:
        """Replace tensors by the sum of a share of everybody's, such as gradients by their mean over rows.

        Args:
            tensors: Of the same shapes everywhere.
            share: Of this one's.
        """
        if self.count > 1:
            for tensor in tensors:
                dist.all_reduce(tensor.mul_(share) if share != 1 else tensor)


@contextmanager
def joined(device: str) -> Iterator[tuple[Ranks, str]]:
    """Join the processes that torchrun started, if it did; and the device of this one.

    Args:
        device: What was asked for: `cpu`, or any graphics card, in place of which each process takes its own.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        yield Ranks(), device
        return
    on_card = device != "cpu"
    own = f"cuda:{os.environ['LOCAL_RANK']}" if on_card else "cpu"
    if on_card:
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if on_card else "gloo")
    try:
        yield Ranks(), own
        # The others wait until the first one has written: a group that some have left may take a process down.
        dist.barrier()
    finally:
        gc.collect()  # requests that nobody holds any more, before the group that they are of
        dist.destroy_process_group()
