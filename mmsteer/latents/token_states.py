"""Hidden states token by token, with what each token is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer import hooks
from mmsteer.layouts import layouts
from mmsteer.types import Adapter, Positions, Sample, Site, Tokens, sink_mask, without_sinks


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


def token_states(adapter: Adapter, samples: Sequence[Sample], site: Site, *, batch: int = 8) -> Iterator[TokenStates]:
    """Read a site from samples, in the token layout of generation.

    `batch`: samples a forward; a tower's rows are images, so its samples are read one at a time.
    """
    size = batch if site.stack == adapter.generator else 1
    for start in range(0, len(samples), size):
        yield from _read(adapter, samples[start : start + size], site)


def selected_states(
    adapter: Adapter, samples: Sequence[Sample], site: Site, positions: Positions = Positions("all")
) -> list[Tensor]:
    """States of the selected tokens of each sample, (tokens, width) each; samples may differ in length."""
    return [one.states[one.chosen(positions)] for one in token_states(adapter, samples, site)]


def _read(adapter: Adapter, samples: Sequence[Sample], site: Site) -> Iterator[TokenStates]:
    reading = adapter.reading(samples)
    states: list[Tensor] = []
    with layouts(adapter, site.stack, reading) as found, hooks.readings({adapter.port(site): states.append}):
        adapter.read(reading)
    generates = site.stack == adapter.generator
    given = adapter.tokens(reading).cpu() if generates else torch.zeros(1, found[-1].kinds.numel(), 0)
    # A conditioning prefix stands before the tokens and is none of them.
    width = given.shape[1]
    kinds = found[-1].kinds.cpu().reshape(len(samples), -1)[:, -width:]
    rows = states[-1].reshape(len(samples), -1, states[-1].shape[-1])[:, -width:]
    steps = torch.arange(-width, 0) + found[-1].kinds.shape[1] - found[-1].origin if generates else torch.zeros(width)
    for row, sample in enumerate(samples):
        tokens = Tokens(kinds[row : row + 1], steps, adapter.rate if generates else None)
        yield TokenStates(sample, rows[row].float().cpu(), tokens, given[row])
