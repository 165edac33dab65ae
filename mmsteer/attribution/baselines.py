"""What stands in the place of a unit that is taken away: zero, a mean, or what another sample has there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from mmsteer import hooks
from mmsteer.errors import AttributionError
from mmsteer.layouts import layouts, tokens_of
from mmsteer.types import Adapter, Positions, Sample, Site, Tokens

Fixed = Literal["zero", "mean"]
BASELINES: tuple[Fixed, ...] = ("zero", "mean")


@dataclass(frozen=True, eq=False)
class Resampled:
    """What another sample has in the place of each unit.

    The n-th of the chosen tokens takes the state of the n-th of the other sample's; where that has fewer, they are
    counted from the first again.

    Attributes:
        states: Of the chosen tokens of the other sample, (tokens, width) a site.
    """

    states: Mapping[Site, Tensor]


Baseline = Fixed | Resampled


def check_baseline(baseline: Baseline) -> None:
    """Refuse an unknown baseline.

    Raises:
        AttributionError: It is one.
    """
    if not isinstance(baseline, Resampled) and baseline not in BASELINES:
        raise AttributionError(f"no baseline {baseline!r}; choose from {', '.join(BASELINES)}, or use resampled()")


def check_stack(adapter: Adapter, sites: Iterable[Site]) -> None:
    """Refuse sites of another stack than the one that makes the output.

    Raises:
        AttributionError: There is one.
    """
    for site in sites:
        if site.stack != adapter.generator:
            raise AttributionError(
                f"{site}: outputs are attributed to what is in the stack that makes them, {adapter.generator}"
            )


def resampled(adapter: Adapter, other: Sample, sites: Sequence[Site], positions: Positions) -> Resampled:
    """Read a baseline from another sample.

    `sites`: where units are.
    `positions`: which tokens they are of, in either sample.

    Raises:
        AttributionError: The other sample has none of these tokens, or the sites are of another stack.
    """
    check_stack(adapter, sites)
    states: dict[Site, Tensor] = {}
    seen = {adapter.port(site): partial(states.__setitem__, site) for site in sites}
    reading = adapter.reading([other])
    with layouts(adapter, adapter.generator, reading) as found, hooks.readings(seen):
        adapter.read(reading, logits="last")
    places = places_of(positions, tokens_of(adapter, adapter.generator, found[-1]))
    if not len(places):
        raise AttributionError(
            f"nothing to put in the place of a unit: the positions '{positions}' select no token of {other.id!r}"
        )
    return Resampled({site: state[0, places.to(state.device)] for site, state in states.items()})


def places_of(positions: Positions, tokens: Tokens) -> Tensor:
    """The places of the chosen tokens in a row."""
    return positions.mask(tokens)[0].nonzero().flatten()


def base_at(baseline: Baseline, site: Site) -> Fixed | Tensor:
    """The baseline of one site."""
    return baseline.states[site] if isinstance(baseline, Resampled) else baseline


def moved(hidden: Tensor, positions: Positions, tokens: Tokens, share: Tensor, baseline: Fixed | Tensor) -> Tensor:
    """Hidden states, (rows, tokens, width), of which the chosen tokens stand between a baseline and themselves."""
    places = places_of(positions, tokens).to(hidden.device)
    state, share = hidden[:, places], share.to(hidden)
    if isinstance(baseline, Tensor):
        base = baseline[torch.arange(len(places)) % len(baseline)].to(hidden)
    else:
        base = torch.zeros_like(state) if baseline == "zero" else state.detach().mean(dim=1, keepdim=True)
    return hidden.index_copy(1, places, base + share * (state - base))
