"""Where training takes its hidden states from."""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError

Pool = tuple[list[int], Tensor, int]
"""Chunks that are read together, the order of their rows, and how many of their batches are passed over."""


class Source(Protocol):
    """A stream of batches without end that can be entered at any place."""

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""

    @property
    def fingerprint(self) -> str:
        """What identifies the stream; training that is taken up again refuses another one."""

    def batches(self, start: int) -> Iterator[Tensor]:
        """Batches (rows, width) from number `start` on, forever; the same number is always the same batch.

        Args:
            start: Number of the first batch.
        """


class Chunks(Protocol):
    """Hidden states in pieces that are read one at a time: shards of a store, or what a model makes of some samples."""

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""

    @property
    def rows(self) -> Sequence[int]:
        """Rows of each piece, known without reading it."""

    @property
    def fingerprint(self) -> str:
        """What identifies the data."""

    def __getitem__(self, index: int) -> Tensor:
        """One piece, (rows, width)."""


@runtime_checkable
class ReadTogether(Protocol):
    """Chunks of which several are read at once."""

    def together(self, indexes: Sequence[int]) -> list[Tensor]:
        """Some pieces, (rows, width) each.

        Args:
            indexes: Their places.
        """


def together(chunks: Chunks, indexes: Sequence[int]) -> list[Tensor]:
    """Some pieces, (rows, width) each; at once where they can be read so.

    Args:
        chunks: All of them.
        indexes: Their places.
    """
    return chunks.together(indexes) if isinstance(chunks, ReadTogether) else [chunks[index] for index in indexes]


@dataclass(frozen=True, eq=False)
class Held:
    """Hidden states in memory as a single chunk.

    Attributes:
        states: (rows, width).
    """

    states: Tensor

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return self.states.shape[1]

    @property
    def rows(self) -> tuple[int]:
        """Rows of the one chunk."""
        return (self.states.shape[0],)

    @property
    def fingerprint(self) -> str:
        """A short hash of the numbers."""
        return hashlib.sha256(self.states.detach().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]

    def __getitem__(self, index: int) -> Tensor:
        return self.states


@dataclass(frozen=True, eq=False)
class Shuffled:
    """Chunks as a stream of mixed batches, epoch after epoch, in another order each.

    Neighbouring frames of a clip are nearly the same, and chunks hold neighbours. Each epoch therefore takes the chunks
    in random order, a pool of several at a time, and mixes the rows of a pool. What does not fill a batch at the end of
    a pool waits for the next epoch.

    Attributes:
        chunks: What is read.
        batch: Rows a batch.
        seed: Seed of the order.
        pool: Chunks in memory at a time.
        ahead: Whether the next pool is read while the batches of one are learned from; then two are in memory.
    """

    chunks: Chunks
    batch: int = 4096
    seed: int = 0
    pool: int = 16
    ahead: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1 or self.pool < 1:
            raise DictionaryError(f"a stream has batches and pools of 1 or more, not {self.batch} and {self.pool}")
        if sum(self.chunks.rows) < self.batch:
            raise DictionaryError(f"{sum(self.chunks.rows)} hidden states do not fill a batch of {self.batch}")

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return self.chunks.width

    @property
    def fingerprint(self) -> str:
        """What identifies the stream: the data and its order."""
        return f"{self.chunks.fingerprint} in batches of {self.batch}, pools of {self.pool}, seed {self.seed}"

    def batches(self, start: int) -> Iterator[Tensor]:
        """Batches from a number on; pools that come before it are not read."""
        for states, order, skip in self._read(self._left(start)):
            for number in range(skip, len(order) // self.batch):
                yield states[order[number * self.batch : (number + 1) * self.batch]]

    def _left(self, start: int) -> Iterator[Pool]:
        left, epoch = start, 0
        while True:
            generator = torch.Generator().manual_seed(self.seed + 1_000_003 * epoch)
            for members in self._pools(generator):
                rows = sum(self.chunks.rows[index] for index in members)
                order = torch.randperm(rows, generator=generator)
                count = rows // self.batch
                if left < count:
                    yield members, order, left
                left = max(0, left - count)
            epoch += 1

    def _read(self, pools: Iterator[Pool]) -> Iterator[tuple[Tensor, Tensor, int]]:
        """The states of pools, with the order of their rows and the batches that are passed over."""
        if not self.ahead:
            yield from ((self._states(members, len(order)), order, skip) for members, order, skip in pools)
        waiting: deque[tuple[Future[Tensor], Tensor, int]] = deque()
        with ThreadPoolExecutor(1) as reader:
            for members, order, skip in pools:
                waiting.append((reader.submit(self._states, members, len(order)), order, skip))
                if len(waiting) > 1:
                    read, mixed, passed = waiting.popleft()
                    yield read.result(), mixed, passed

    def _pools(self, generator: torch.Generator) -> Iterator[list[int]]:
        """The chunks in random order, in pools that each fill a batch or more."""
        order = torch.randperm(len(self.chunks.rows), generator=generator).tolist()
        members: list[int] = []
        for index in order:
            members.append(index)
            if len(members) >= self.pool and sum(self.chunks.rows[one] for one in members) >= self.batch:
                yield members
                members = []
        if members:
            yield members

    def _states(self, members: Sequence[int], rows: int) -> Tensor:
        states = torch.cat(together(self.chunks, members))
        if states.shape != (rows, self.width):
            raise DictionaryError(
                f"chunks {members[:4]} hold {tuple(states.shape)}; promised were {rows} rows of {self.width}"
            )
        return states
