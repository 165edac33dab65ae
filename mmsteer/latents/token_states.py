"""Hidden states token by token, with what each token is."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer import hooks
from mmsteer.errors import AdapterError
from mmsteer.layouts import layouts
from mmsteer.steering import Steering, steer
from mmsteer.types import Adapter, Kind, Positions, Sample, Site, Tokens, sink_mask, without_sinks


@dataclass(frozen=True, eq=False)
class TokenStates:
    """One sample as a site sees it.

    `states`: hidden states, (tokens, width).
    `given`: the tokens themselves, (tokens, vocabularies); no vocabulary where the stack sees images alone.
    """

    sample: Sample
    states: Tensor
    tokens: Tokens
    given: Tensor

    def chosen(self, positions: Positions) -> Tensor:
        """Which tokens are selected, (tokens,) bool."""
        return positions.mask(self.tokens)[0]

    def pooled_over(self, positions: Positions) -> Tensor:
        """Which tokens a pool is made of: those that are selected, less attention sinks, (tokens,) bool."""
        sinks = sink_mask(self.states.norm(dim=-1)[None], self.tokens, positions)
        return without_sinks(positions.mask(self.tokens), sinks)[0]

    def unpadded(self) -> "TokenStates":
        """The same without padding, so that places do not depend on what the sample shared a batch with."""
        own = self.tokens.kinds[0] != Kind.PADDING
        tokens = Tokens(self.tokens.kinds[:, own], self.tokens.steps[own], self.tokens.rate)
        return TokenStates(self.sample, self.states[own], tokens, self.given[own])


def token_states(adapter: Adapter, samples: Sequence[Sample], site: Site, *, batch: int = 8) -> Iterator[TokenStates]:
    """Read a site from samples, in the token layout of generation.

    `batch`: samples a forward; a tower's rows are images, so its samples are read one at a time.
    """
    for [one] in layer_states(adapter, samples, [site], batch=batch):
        yield one


def layer_states(
    adapter: Adapter,
    samples: Sequence[Sample],
    sites: Sequence[Site],
    *,
    batch: int = 8,
    steerings: Sequence[Steering] = (),
) -> Iterator[tuple[TokenStates, ...]]:
    """The same at several sites of one stack, each sample read once; for each sample one value a site.

    `batch`: samples a forward; a tower's rows are images, so its samples are read one at a time.
    `steerings`: what each sample is read under; nothing where none are given.

    Raises:
        AdapterError: The sites are of several stacks.
    """
    if len({site.stack for site in sites}) != 1:
        raise AdapterError(f"{', '.join(map(str, sites))} are not of one stack; read each stack by itself")
    size = batch if sites[0].stack == adapter.generator else 1
    for start in range(0, len(samples), size):
        some = slice(start, start + size)
        yield from _read(adapter, samples[some], sites, steerings[some])


def selected_states(
    adapter: Adapter, samples: Sequence[Sample], site: Site, positions: Positions = Positions("all")
) -> list[Tensor]:
    """States of the selected tokens of each sample, (tokens, width) each; samples may differ in length."""
    return [one.states[one.chosen(positions)] for one in token_states(adapter, samples, site)]


def _read(
    adapter: Adapter, samples: Sequence[Sample], sites: Sequence[Site], steerings: Sequence[Steering]
) -> Iterator[tuple[TokenStates, ...]]:
    reading, stack = adapter.reading(samples), sites[0].stack
    states: dict[Site, list[Tensor]] = {site: [] for site in sites}
    places = {adapter.port(site): some.append for site, some in states.items()}
    with ExitStack() as steered:
        if steerings:
            steered.enter_context(steered.enter_context(steer(adapter, steerings)).call(reading.call))
        with layouts(adapter, stack, reading) as found, hooks.readings(places):
            adapter.read(reading)
    generates = stack == adapter.generator
    given = adapter.tokens(reading).cpu() if generates else torch.zeros(1, found[-1].kinds.numel(), 0)
    # A conditioning prefix stands before the tokens and is none of them.
    width = given.shape[1]
    kinds = found[-1].kinds.cpu().reshape(len(samples), -1)[:, -width:]
    rows = {
        site: some[-1].reshape(len(samples), -1, some[-1].shape[-1])[:, -width:].float().cpu()
        for site, some in states.items()
    }
    steps = torch.arange(-width, 0) + found[-1].kinds.shape[1] - found[-1].origin if generates else torch.zeros(width)
    for row, sample in enumerate(samples):
        tokens = Tokens(kinds[row : row + 1], steps, adapter.rate if generates else None)
        yield tuple(TokenStates(sample, rows[site][row], tokens, given[row]) for site in sites)
