"""Hidden states for training dictionaries: from a store's shards, or from a model as it reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mmsteer.errors import StoreError
from mmsteer.record import data_fingerprint, record
from mmsteer.store import ActivationStore
from mmsteer.types import Adapter, Positions, Sample, Site
from mmsteer.types.sinks import SINK
from mmsteer.workers import Held, Here, Workers


@dataclass(frozen=True, eq=False)
class StoredStates:
    """A site of a store as chunks of samples; windows of time are rows of their own."""

    store: ActivationStore
    site: Site
    samples: int = 256

    def __post_init__(self) -> None:
        if self.store.source.get("pool") == "tokens":
            raise StoreError(
                f"{self.store.folder} has zeros for tokens that were not chosen (pool 'tokens'), and a dictionary "
                "would learn them; record windows, or read the model with ReadStates"
            )

    @cached_property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return int(self._load(0, 1).shape[-1])

    @cached_property
    def rows(self) -> list[int]:
        """Rows of each chunk."""
        windows = self._load(0, 1).shape[1:-1].numel()
        starts = range(0, len(self._ids), self.samples)
        return [windows * len(self._ids[start : start + self.samples]) for start in starts]

    @property
    def fingerprint(self) -> str:
        """What the store says of its source, how much there is, and the site."""
        return f"{self.site} of {sorted(self.store.source.items())}, {len(self._ids)} samples by {self.samples}"

    def __getitem__(self, index: int) -> Tensor:
        return self._load(index * self.samples, (index + 1) * self.samples).reshape(-1, self.width)

    @cached_property
    def _ids(self) -> list[str]:
        return sorted(self.store.done())

    def _load(self, start: int, stop: int) -> Tensor:
        return self.store.load([self.site], self._ids[start:stop]).values[self.site]


@dataclass(frozen=True, eq=False)
class ReadStates:
    """A site of a model as chunks of samples, read anew whenever they are asked for.

    Of each sample a fixed number of tokens is drawn: neighbours are nearly the same, and a long clip should not count
    for more than a short one. Attention sinks (`mmsteer.types.sinks`) are not drawn: a dictionary would learn little
    else.

    `workers`: what reads several chunks at once, each with this model; None for this process.
    `positions`: which tokens are drawn from.
    `tokens`: tokens drawn of each sample, without replacement.
    `batch`: samples a chunk, read in one forward.
    """

    adapter: Adapter
    samples: Sequence[Sample]
    site: Site
    positions: Positions = Positions("all")
    tokens: int = 32
    batch: int = 16
    seed: int = 0
    workers: Workers | None = None

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return self.adapter.widths[self.site]

    @cached_property
    def rows(self) -> list[int]:
        """Rows of each chunk."""
        starts = range(0, len(self.samples), self.batch)
        return [self.tokens * len(self.samples[start : start + self.batch]) for start in starts]

    @cached_property
    def fingerprint(self) -> str:
        """Model, data, site, and which tokens are drawn."""
        return (
            f"{self.site} of {self.adapter.run_identity}, data {data_fingerprint(self.samples)} by {self.batch}, "
            f"{self.tokens} tokens of '{self.positions}', seed {self.seed}"
        )

    def __getitem__(self, index: int) -> Tensor:
        return self._chunk(index).do(Held(self.adapter))

    def together(self, indexes: Sequence[int]) -> list[Tensor]:
        """Some chunks, (rows, width) each.

        Args:
            indexes: Their places.
        """
        by = self.workers or Here(Held(self.adapter))
        found = {piece.index: states for piece, states in by.map([self._chunk(index) for index in indexes])}
        return [found[index] for index in indexes]

    def _chunk(self, index: int) -> "_DrawnChunk":
        some = self.samples[index * self.batch : (index + 1) * self.batch]
        return _DrawnChunk(index, some, self.site, self.positions, self.tokens, self.seed)


@dataclass(frozen=True, eq=False)
class _DrawnChunk:
    """Read a site of some samples in one forward, and draw tokens of each; see `ReadStates`."""

    index: int
    samples: Sequence[Sample]
    site: Site
    positions: Positions
    tokens: int
    seed: int

    def do(self, held: Held) -> Tensor:
        """The states, (rows, width)."""
        some = self.samples
        found = record(held.adapter, some, [self.site], positions=self.positions, pool="tokens", batch=len(some))
        generator = torch.Generator().manual_seed(self.seed + 1_000_003 * self.index)
        states = zip(some, found.values[self.site], strict=True)
        return torch.cat([self._drawn(sample, state, generator) for sample, state in states])

    def _drawn(self, sample: Sample, state: Tensor, generator: torch.Generator) -> Tensor:
        chosen = state[state.any(dim=-1)]  # tokens that were not chosen are zero
        norms = chosen.norm(dim=-1)
        if not self.positions.names("first"):
            chosen = chosen[norms <= SINK * norms.median()]
        if len(chosen) < self.tokens:
            raise StoreError(
                f"sample {sample.id!r} has {len(chosen)} tokens at '{self.positions}'; {self.tokens} cannot be drawn"
            )
        return chosen[torch.randperm(len(chosen), generator=generator)[: self.tokens]]

    def __str__(self) -> str:
        return f"{self.site}, reading {self.samples[0].id!r} to {self.samples[-1].id!r}"
