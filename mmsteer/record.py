"""Reading hidden states: samples → activations, in memory or on disk."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from mmsteer import hooks
from mmsteer.errors import PositionsError, StoreError
from mmsteer.layouts import layouts, tokens_of
from mmsteer.store import ActivationStore
from mmsteer.types import (
    Activations,
    Adapter,
    LogHistogram,
    Positions,
    Sample,
    Site,
    Tokens,
    Waveform,
    binned_each,
    check_thoughts,
    select_sites,
    sink_mask,
    without_sinks,
)
from mmsteer.workers import Held, Here, Workers

POOLS = ("mean", "last", "max", "tokens")
_WINDOWS = re.compile(r"windows\((\d+(?:\.\d+)?)s\)")

Batch = tuple[Mapping[Site, Tensor], Mapping[Site, LogHistogram]]
"""Of some samples: the values at each site, and the norms of the tokens that they came from."""
Read = Callable[[Adapter, Sequence[Sample]], Batch]


def record(
    adapter: Adapter,
    samples: Sequence[Sample],
    sites: Sequence[Site] | str | None = None,
    *,
    positions: Positions = Positions("all"),
    pool: str = "mean",
    batch: int = 16,
    folder: str | Path | None = None,
    workers: Workers | None = None,
    progress: bool = False,
) -> Activations:
    """Read hidden states at several sites from the same samples, in the token layout of generation.

    Memory grows with the pooled numbers alone, and without a folder nothing touches a disk. With a folder each batch
    is written as it is read, and a recording that was stopped goes on where it was.

    The rows of a vision tower are images, tiles, or one long row of packed patches. Where its sites are among those
    read, samples are therefore read one at a time, and all of its tokens are that sample's.

    Attention sinks, tokens whose norm is beyond 20 medians of their row (`mmsteer.types.sinks`), enter no mean, no
    maximum and no norm, unless the positions choose nothing else, or name `first` and it is the first token.

    Args:
        adapter: The model.
        samples: What to read.
        sites: Where to read: sites, or a pattern such as `text.8-16, text.4.mlp`; None for the output of every block
            of the stack that makes the output.
        positions: Which tokens.
        pool: `mean`, `max` or `last` over the chosen tokens, `windows(0.5s)` for means over windows of time, or
            `tokens` for all of them, zero where a token was not chosen.
        batch: Samples a forward.
        folder: Where to keep the activations; None for memory only.
        workers: What reads the batches, each with this model; None for this process.
        progress: Show a bar.

    Raises:
        StoreError: The pool is unknown, the folder holds another recording, or something is no `Sample`.
        PositionsError: The positions select nothing in some sample, or tell thoughts of a model that has none.
        SiteError: The model has no such site.
    """
    _check_samples(samples)
    check_thoughts(positions, adapter.marks)
    if sites is None or isinstance(sites, str):
        sites = select_sites(sites or f"{adapter.generator}.*", adapter.widths)
    chosen = tuple(sites)
    if pool not in POOLS and not _WINDOWS.fullmatch(pool):
        raise StoreError(f"no pool {pool!r}; choose from {', '.join(POOLS)}, windows(0.5s)")
    source = {
        "model": adapter.fingerprint,
        "run_identity": adapter.run_identity,
        **adapter.sketch.written(),
        "data": data_fingerprint(samples),
        "positions": str(positions),
        "pool": pool,
        "sites": ",".join(map(str, chosen)),
    }
    if any(site.stack != adapter.generator for site in chosen):
        batch = 1
    read = partial(_read, sites=chosen, positions=positions, pool=pool)
    by = workers or Here(Held(adapter))
    return collect(samples, chosen, source, read, by, batch=batch, folder=folder, progress=progress)


def _check_samples(samples: Sequence[Sample]) -> None:
    other = next((one for one in samples if not isinstance(one, Sample)), None)
    if other is not None:
        raise StoreError(
            f"what is read are samples, not {type(other).__name__}; of rows of `read_rows` give "
            "[row.sample(adapter) for row in rows], with answered=True to read their answers or clips too"
        )


@dataclass(frozen=True, eq=False)
class _ReadBatch:
    """Samples that are read together."""

    samples: Sequence[Sample]
    read: Read

    def do(self, held: Held) -> Batch:
        return self.read(held.adapter, self.samples)

    def __str__(self) -> str:
        return f"reading {self.samples[0].id!r} to {self.samples[-1].id!r}"


def collect(
    samples: Sequence[Sample],
    sites: Sequence[Site],
    source: Mapping[str, str],
    read: Read,
    workers: Workers,
    *,
    batch: int,
    folder: str | Path | None,
    progress: bool,
    text: str = "Reading hidden states",
) -> Activations:
    """Read samples batch by batch, in memory or on disk; in a folder, what is there already is not read again.

    Args:
        samples: What to read.
        sites: The sites that are read.
        source: What identifies the recording.
        read: Takes a model and some samples to the values at each site and the norms that they came from.
        workers: What reads them.
        batch: Samples at a time.
        folder: Where to keep the activations; None for memory only.
        progress: Show a bar.
        text: What the bar says.

    Raises:
        StoreError: The folder holds another recording, or there are no samples.
    """
    ids = [sample.id for sample in samples]
    store = _Memory(ids, source) if folder is None else ActivationStore.create(folder, source)
    pieces = [_ReadBatch(some, read) for some in _left(samples, batch, store.done())]
    done = track(workers.map(pieces), text, len(pieces), disable=not progress, transient=True)
    for piece, found in done:
        store.append([sample.id for sample in piece.samples], *found)
    return store.load(sites, ids)


def _left(samples: Sequence[Sample], batch: int, done: set[str]) -> Iterator[Sequence[Sample]]:
    """What is still to be read, in batches that begin at the same samples whatever has been done."""
    for start in range(0, len(samples), batch):
        some = [sample for sample in samples[start : start + batch] if sample.id not in done]
        if some:
            yield some


def data_fingerprint(samples: Sequence[Sample]) -> str:
    """A short hash of names, prompts, images, outputs, audio prompts and melodies."""
    digest = hashlib.sha256()
    for sample in samples:
        said = repr(sample.output) if isinstance(sample.output, str) else ""
        digest.update(f"{sample.id!r}{sample.prompt!r}{said}\0".encode())
        given = (sample.audio_prompt, sample.melody, None if isinstance(sample.output, str) else sample.output)
        waves = [one.samples if isinstance(one, Waveform) else one for one in given if one is not None]
        for one in (*sample.images, *waves):
            content = np.ascontiguousarray(one)
            digest.update(f"{content.shape}{content.dtype}".encode())
            digest.update(content.tobytes())
    return digest.hexdigest()[:16]


class _Memory:
    """A recording that no disk keeps, filled a batch of neighbours at a time; see `ActivationStore`."""

    def __init__(self, ids: Sequence[str], source: Mapping[str, str]) -> None:
        if not ids or len(set(ids)) != len(ids):
            raise StoreError(f"a recording holds one sample or more, each of its own name, not {list(ids)[:8]}")
        self._places = {name: place for place, name in enumerate(ids)}
        self._source = source
        self._values: dict[Site, Tensor] = {}
        self._norms: dict[Site, Counter[int]] = {}

    def done(self) -> set[str]:
        return set()

    def append(self, ids: Sequence[str], values: Mapping[Site, Tensor], norms: Mapping[Site, LogHistogram]) -> None:
        rows = slice(self._places[ids[0]], self._places[ids[0]] + len(ids))
        for site, value in values.items():
            if site not in self._values:
                self._values[site] = value.new_empty((len(self._places), *value.shape[1:]))
            self._put(site, rows, value)
            self._norms.setdefault(site, Counter()).update(norms[site].counts)

    def _put(self, site: Site, rows: slice, value: Tensor) -> None:
        whole = self._values[site]
        if value.shape[1:] != whole.shape[1:]:
            raise StoreError(
                f"{site} has states of shape {tuple(value.shape[1:])} after {tuple(whole.shape[1:])}: samples of "
                "different lengths; pool them by mean, last or max, or choose a window that all have"
            )
        if not value.isfinite().all():
            raise StoreError(f"{site} has values that are not finite; run the model in float32 or bfloat16")
        whole[rows] = value

    def load(self, sites: Sequence[Site], ids: Sequence[str]) -> Activations:
        norms = {site: LogHistogram(dict(sorted(self._norms[site].items()))) for site in sites}
        return Activations({site: self._values[site] for site in sites}, norms, tuple(ids), self._source)


def _read(adapter: Adapter, samples: Sequence[Sample], sites: Sequence[Site], positions: Positions, pool: str) -> Batch:
    reading = adapter.reading(samples)
    values: dict[Site, Tensor] = {}
    norms: dict[Site, tuple[Tensor, Tensor]] = {}
    chosen: dict[str, tuple[Tokens, Tensor]] = {}
    with ExitStack() as exits:
        stacks = {site.stack for site in sites}
        found = {stack: exits.enter_context(layouts(adapter, stack, reading)) for stack in stacks}

        def see(site: Site, state: Tensor) -> None:
            if site.stack not in chosen:
                of_sample = _of_samples(tokens_of(adapter, site.stack, found[site.stack][-1]), len(samples))
                chosen[site.stack] = of_sample, _mask(of_sample, positions, samples)
            of_sample, mask = chosen[site.stack]
            mask = mask.to(state.device)
            state = state.float().reshape(*mask.shape, -1)
            sizes = state.norm(dim=-1)
            sinks = sink_mask(sizes, of_sample, positions)
            kept = without_sinks(mask, sinks)
            values[site] = _pooled(state, _Chosen(mask, sinks, kept), pool, of_sample)
            norms[site] = sizes, kept

        exits.enter_context(hooks.readings({adapter.port(site): _bound(see, site) for site in sites}))
        adapter.read(reading, logits="last")
    # Only now, and of all layers together: a copy to the host would make every layer wait for the one before.
    bins = binned_each(*zip(*norms.values(), strict=True)).cpu()
    counted = {site: LogHistogram.of_bins(one) for site, one in zip(norms, bins, strict=True)}
    return {site: value.cpu() for site, value in values.items()}, counted


def _bound(see: Any, site: Site) -> hooks.See:
    return lambda state: see(site, state)


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
    """Tokens of a site, (rows, tokens) bool each.

    `mask`: those that positions choose.
    `sinks`: attention sinks.
    `kept`: the chosen ones less sinks.
    """

    mask: Tensor
    sinks: Tensor
    kept: Tensor


def _pooled(state: Tensor, chosen: _Chosen, pool: str, tokens: Tokens) -> Tensor:
    """Hidden states (rows, tokens, width) pooled over the chosen tokens."""
    mask = chosen.mask
    if pool == "tokens":
        return state * mask.unsqueeze(-1)
    if pool == "max":
        return state.masked_fill(~chosen.kept.unsqueeze(-1), -torch.inf).amax(dim=1)
    if pool == "last":
        last = torch.where(mask, torch.arange(mask.shape[1], device=mask.device), -1).amax(dim=1)
        return state[torch.arange(len(state), device=state.device), last]
    if pool == "mean":
        return _mean(state, chosen.kept)
    return _windows(state, chosen, pool, tokens)


def _windows(state: Tensor, chosen: _Chosen, pool: str, tokens: Tokens) -> Tensor:
    match = _WINDOWS.fullmatch(pool)
    length = float(match[1] if match else 0) * float(tokens.rate or 0)
    if length < 1:
        raise StoreError(f"pool {pool!r}: a window must last a step or more, and the output must have a duration")
    window = (tokens.steps / length).floor().long().to(state.device)
    windows = [chosen.mask & (window == one) for one in range(int(window.max()) + 1)]
    return torch.stack([_mean(state, without_sinks(one, chosen.sinks)) for one in windows], dim=1)


def _mean(state: Tensor, mask: Tensor) -> Tensor:
    # As a product with a row it needs no second copy of the states, and reads them in the order in which they lie.
    weights = mask.to(state)
    return torch.bmm(weights.unsqueeze(1), state).squeeze(1) / weights.sum(dim=1, keepdim=True).clamp(min=1)
