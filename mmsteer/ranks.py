"""Processes that torchrun or accelerate started, and that train together."""

import gc
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from mmsteer.errors import EndedElsewhere, RanksError

Items = TypeVar("Items", Tensor, list[int])
Held = TypeVar("Held")
WAIT = timedelta(hours=6)
"""How long the others wait for one, such as the first one while it measures and writes."""
PATIENCE = 30.0
"""Seconds that a process waits at most for one that failed to leave first: torchrun ends it in that moment."""
_KNOWN = "the other processes were ended as well"


class Ranks:
    """The processes that train together; a single one where none were started.

    The first one reports and writes.

    Attributes:
        count: How many there are.
        number: Which this one is, from 0.
    """

    def __init__(self) -> None:
        is_grouped = dist.is_available() and dist.is_initialized()
        self.count = dist.get_world_size() if is_grouped else 1
        self.number = dist.get_rank() if is_grouped else 0

    @property
    def first(self) -> bool:
        """Whether this is the first one."""
        return self.number == 0

    def shard(self, items: Items, kind: str) -> Items:
        """The items, such as rows of a batch, that this one learns from.

        Args:
            items: What all learn from together in a step, the same everywhere.
            kind: What they are, such as `prompts`.

        Raises:
            RanksError: There are fewer than processes.
        """
        self.check_enough(len(items), kind)
        return items[self.number :: self.count] if self.count > 1 else items

    def check_enough(self, count: int, kind: str) -> None:
        """Refuse fewer items in a step than there are processes.

        Args:
            count: How many there are.
            kind: What they are, such as `prompts`.

        Raises:
            RanksError: A process would have nothing to learn from.
        """
        if count < self.count:
            raise RanksError(
                f"{count} {kind} a step are too few for {self.count} processes; start at most {count}, or let a step "
                f"take more {kind}"
            )

    def all_gather(self, mine: Held) -> list[Held]:
        """What every process holds, in their order.

        Args:
            mine: What this one holds; anything that can be pickled.

        Raises:
            EndedElsewhere: Another one failed before it came here.
            RanksError: Another one has died.
        """
        return self._gather(mine, None)

    def all_sum(self, *mine: Tensor) -> list[float]:
        """Numbers, each summed over the processes.

        Args:
            mine: Numbers of this one, (,) each.
        """
        held = self.all_gather([float(one.detach()) for one in mine])
        return [sum(column) for column in zip(*held, strict=True)]

    def all_reduce(self, mine: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Sums over the processes, added in their order, so that they are the same bits everywhere.

        By pickles, unlike torch's own: for vectors, which are small (`DictionaryRanks.add` is for what is large).

        Args:
            mine: Tensors of the same shapes everywhere; None counts as zero.

        Returns:
            Tensors on the CPU; None where no process holds one.
        """
        columns = zip(*self.all_gather([one if one is None else one.cpu() for one in mine]), strict=True)
        held = [[one for one in column if one is not None] for column in columns]
        return [sum(column[1:], start=column[0]) if column else None for column in held]

    @contextmanager
    def fail_together(self) -> Iterator[None]:
        """End all where one fails: it leaves with its own error, the others with `EndedElsewhere`.

        Raises:
            EndedElsewhere: Another one failed.
        """
        try:
            yield
            self.all_gather(None)
        except EndedElsewhere:
            raise
        except Exception as error:
            if self.count > 1 and _KNOWN not in getattr(error, "__notes__", ()):
                error.add_note(_KNOWN)
                self._fail(error)
            raise

    def _fail(self, error: Exception) -> None:
        """End the others, where they can be reached.

        Raises:
            EndedElsewhere: An earlier process failed, too.
        """
        try:
            self._gather(None, f"{type(error).__name__}: {error}")
        except EndedElsewhere:
            raise
        except RanksError:
            pass  # they have died; this one's own error is the one to see

    def _gather(self, mine: Held, failure: str | None) -> list[Held]:
        """Exchange things and failures; of several processes that failed the first one is to blame.

        Raises:
            EndedElsewhere: Another one is.
            RanksError: Another one has died.
        """
        if self.count == 1:
            return [mine]
        gathered: list[Any] = [None] * self.count
        try:
            dist.all_gather_object(gathered, (mine, failure))
        except RuntimeError as cause:
            died = RanksError(f"process {self.number} of {self.count} cannot reach the others: {cause}")
            died.add_note(_KNOWN)  # a group that has lost one is not to be asked again
            raise died from None
        failed = [number for number, (_, one) in enumerate(gathered) if one is not None]
        if failed and failed[0] != self.number:
            raise EndedElsewhere(f"process {failed[0]} of {self.count} failed: {gathered[failed[0]][1]}") from None
        return [one for one, _ in gathered]


@contextmanager
def joined(device: str) -> Iterator[tuple[Ranks, str]]:
    """Join the processes that torchrun or accelerate started, if one did; and the device of this one.

    Args:
        device: What was asked for: `cpu`; `auto`, the CPU where there is no graphics card; or any card, in place of
            which each process takes its own.

    Raises:
        RanksError: There are more processes than cards; all but one raise `EndedElsewhere`.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        yield Ranks(), device
        return
    with _leaving_last(), _grouped(_own_device(device)) as own:
        yield Ranks(), own
        # The others wait until the first one has written: a group that some have left may take a process down.
        dist.barrier()


@contextmanager
def _leaving_last() -> Iterator[None]:
    """Leave behind the process that failed: when one leaves, torchrun ends those that have not yet printed why.

    Raises:
        EndedElsewhere: Another one failed.
    """
    try:
        yield
    except EndedElsewhere:
        time.sleep(PATIENCE)
        raise


def _own_device(device: str) -> str:
    """The device of this process.

    Raises:
        RanksError: There are more processes than cards.
    """
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    number, count, cards = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if count > cards:
        kind = EndedElsewhere if number else RanksError
        raise kind(f"{count} processes and {cards} graphics cards here; start one a card, or give --device cpu")
    return f"cuda:{number}"


@contextmanager
def _grouped(device: str) -> Iterator[str]:
    if device != "cpu":
        torch.cuda.set_device(device)
    dist.init_process_group("gloo" if device == "cpu" else "nccl", timeout=WAIT)
    try:
        yield device
    finally:
        gc.collect()  # requests that nobody holds any more, before the group that they are of
        dist.destroy_process_group()
