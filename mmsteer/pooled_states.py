"""Hidden states of one forward, pooled over the tokens that positions choose."""

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mmsteer import hooks
from mmsteer.errors import PositionsError, StoreError
from mmsteer.layouts import layouts, tokens_of
from mmsteer.types import (
    Adapter,
    Layout,
    LogHistogram,
    Positions,
    Sample,
    Site,
    Tokens,
    counted_each,
    sink_mask,
    without_sinks,
)

POOLS = ("mean", "last", "max", "tokens")
_WINDOWS = re.compile(r"windows\((\d+(?:\.\d+)?)s\)")

TOGETHER = 1 << 20
"""Numbers in the states that wait to be pooled by the same operators; one layer that has more is pooled as it comes."""

Batch = tuple[Mapping[Site, Tensor], Mapping[Site, LogHistogram]]
"""Of some samples: the values at each site, and the norms of the tokens that they came from."""


def check_pool(pool: str) -> None:
    """Refuse a pool that there is not.

    Args:
        pool: A name of `POOLS`, or windows of time.

    Raises:
        StoreError: There is no such pool.
    """
    if pool not in POOLS and not _WINDOWS.fullmatch(pool):
        raise StoreError(f"no pool {pool!r}; choose from {', '.join(POOLS)}, windows(0.5s)")


def read_pooled(
    adapter: Adapter, samples: Sequence[Sample], sites: Sequence[Site], positions: Positions, pool: str
) -> Batch:
    """Read samples in one forward.

    Args:
        adapter: The model.
        samples: What to read.
        sites: Where.
        positions: Which tokens.
        pool: What becomes of them.

    Raises:
        StoreError: A window of time is too short, or the output has no duration.
        PositionsError: The positions select nothing in some sample.
    """
    reading = adapter.reading(samples)
    with ExitStack() as exits:
        stacks = {site.stack for site in sites}
        found = {stack: exits.enter_context(layouts(adapter, stack, reading)) for stack in stacks}
        pooled = _Pooling(adapter, found, samples, positions, pool)
        exits.enter_context(hooks.readings({adapter.port(site): partial(pooled.see, site) for site in sites}))
        adapter.read(reading, logits="last")
    return pooled.batch()


class _Pooling:
    """What hooks show, site by site; nothing waits for the device before `batch`."""

    def __init__(
        self,
        adapter: Adapter,
        found: Mapping[str, Sequence[Layout]],
        samples: Sequence[Sample],
        positions: Positions,
        pool: str,
    ) -> None:
        self._adapter, self._found, self._samples = adapter, found, samples
        self._positions, self._pool = positions, pool
        self._chosen: dict[str, tuple[Tokens, Tensor]] = {}
        self._waiting: dict[Site, Tensor] = {}
        self._values: dict[Site, Tensor] = {}
        self._norms: dict[Site, tuple[Tensor, Tensor]] = {}

    def see(self, site: Site, state: Tensor) -> None:
        """Pool a state, at once or with those that follow.

        Args:
            site: Where it was read.
            state: It, (rows, tokens, width), or as its stack packs it.
        """
        _, mask = self._tokens(site.stack)
        state = state.reshape(*mask.shape, -1)
        if self._waiting and not self._fits(site, state):
            self._flush()
        # A copy, where it waits: the model may go on to write into its own.
        alone = 2 * state.numel() > TOGETHER
        self._waiting[site] = state.float() if alone else state.to(torch.float32, copy=True)
        if alone:
            self._flush()

    def batch(self) -> Batch:
        """All that was seen, on the host."""
        if self._waiting:
            self._flush()
        # Only now, and of all layers together: a copy to the host would make every layer wait for the one before.
        counted = counted_each(*zip(*self._norms.values(), strict=True))
        values = {site: value.cpu() for site, value in self._values.items()}
        return values, dict(zip(self._norms, counted, strict=True))

    def _fits(self, site: Site, state: Tensor) -> bool:
        (other, waiting), count = next(iter(self._waiting.items())), len(self._waiting)
        is_alike = (other.stack, waiting.shape, waiting.device) == (site.stack, state.shape, state.device)
        return is_alike and (count + 1) * state.numel() <= TOGETHER

    def _flush(self) -> None:
        states = list(self._waiting.values())
        tokens, mask = self._tokens(next(iter(self._waiting)).stack)
        mask = mask.to(states[0].device)
        sizes = torch.stack([state.norm(dim=-1) for state in states])
        sinks = sink_mask(sizes, tokens, self._positions)
        kept = without_sinks(mask, sinks)
        pooled = _pooled(states, _Chosen(mask, sinks, kept), self._pool, tokens)
        self._values.update(zip(self._waiting, pooled, strict=True))
        self._norms.update(zip(self._waiting, zip(sizes, kept, strict=True), strict=True))
        self._waiting.clear()

    def _tokens(self, stack: str) -> tuple[Tokens, Tensor]:
        """The tokens of a stack, and which of them the positions choose."""
        if stack not in self._chosen:
            tokens = _of_samples(tokens_of(self._adapter, stack, self._found[stack][-1]), len(self._samples))
            self._chosen[stack] = tokens, _mask(tokens, self._positions, self._samples)
        return self._chosen[stack]


def _of_samples(tokens: Tokens, samples: int) -> Tokens:
    """Tokens with a row a sample: all images of a sample that is read alone are its own."""
    rows = tokens.kinds.shape[0]
    if rows == samples:
        return tokens
    return Tokens(tokens.kinds.reshape(1, -1), tokens.steps.repeat(rows), tokens.rate)


def _mask(tokens: Tokens, positions: Positions, samples: Sequence[Sample]) -> Tensor:
    mask = positions.mask(tokens)
    empty = torch.nonzero(~mask.any(dim=1)).flatten().tolist()
    if empty:
        raise PositionsError(f"the positions '{positions}' select no token of sample {samples[empty[0]].id!r}")
    return mask


@dataclass(frozen=True, eq=False)
class _Chosen:
    """Tokens of some sites, bool.

    `mask`: those that positions choose, (rows, tokens).
    `sinks`: attention sinks, (sites, rows, tokens).
    `kept`: the chosen ones less sinks, (sites, rows, tokens).
    """

    mask: Tensor
    sinks: Tensor
    kept: Tensor


def _pooled(states: Sequence[Tensor], chosen: _Chosen, pool: str, tokens: Tokens) -> Sequence[Tensor]:
    """Hidden states of some sites, (rows, tokens, width) each, pooled over the chosen tokens.

    Each result has a storage of its own: a view would be pickled with all that it is a view of.
    """
    mask = chosen.mask
    if pool == "tokens":
        return [state * mask.unsqueeze(-1) for state in states]
    if pool == "max":
        left_out = (~chosen.kept).unsqueeze(-1)
        return [state.masked_fill(out, -torch.inf).amax(dim=1) for state, out in zip(states, left_out, strict=True)]
    if pool == "last":
        last = torch.where(mask, torch.arange(mask.shape[1], device=mask.device), -1).amax(dim=1)
        rows = torch.arange(len(mask), device=mask.device)
        return [state[rows, last] for state in states]
    if pool == "mean":
        return _means(states, chosen.kept)
    return _windows(states, chosen, pool, tokens)


def _windows(states: Sequence[Tensor], chosen: _Chosen, pool: str, tokens: Tokens) -> Sequence[Tensor]:
    match = _WINDOWS.fullmatch(pool)
    length = float(match[1] if match else 0) * float(tokens.rate or 0)
    if length < 1:
        raise StoreError(f"pool {pool!r}: a window must last a step or more, and the output must have a duration")
    window = (tokens.steps / length).floor().long().to(chosen.mask.device)
    windows = [chosen.mask & (window == one) for one in range(int(window.max()) + 1)]
    means = [_means(states, without_sinks(one, chosen.sinks)) for one in windows]
    return [torch.stack(of_site, dim=1) for of_site in zip(*means, strict=True)]


def _means(states: Sequence[Tensor], mask: Tensor) -> list[Tensor]:
    """Means over the tokens of a mask, (sites, rows, tokens)."""
    weights = mask.to(torch.float32).unsqueeze(-1)
    counts = mask.sum(dim=-1, keepdim=True).clamp(min=1)
    # As a product of matrices it needs no second copy of the states, and site by site its sums are the same bits
    # whatever else is pooled.
    totals = [torch.bmm(state.transpose(1, 2), weight) for state, weight in zip(states, weights, strict=True)]
    return [total.squeeze(-1).div_(count) for total, count in zip(totals, counts, strict=True)]
