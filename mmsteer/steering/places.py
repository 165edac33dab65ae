"""Places of one stack: where its forwards are edited, at most once in a layer for any number of heads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmsteer.types import Adapter, Port, Site


@dataclass(frozen=True)
class Part:
    """One site of a place.

    Attributes:
        index: Of the site among those of the stack.
        start: Its first number in the state of the place.
        stop: The number behind its last.
    """

    index: int
    start: int
    stop: int

    def of(self, state: Tensor) -> Tensor:
        """What a state of the place has at this site.

        `state`: the state, (..., width of the place).
        """
        return state if self.stop - self.start == state.shape[-1] else state[..., self.start : self.stop]


@dataclass(frozen=True)
class Place:
    """One edit of a stack: a whole state, and the sites that are steered in it.

    Attributes:
        port: Where the state passes.
        width: Numbers in it.
        parts: Its sites; a single one that is all of it, unless they are heads.
    """

    port: Port
    width: int
    parts: tuple[Part, ...]


def places_of(adapter: Adapter, sites: Sequence[Site]) -> tuple[Place, ...]:
    """The places of the sites of a stack, in the order in which the model computes them."""
    found: dict[Port, list[Part]] = {}
    for index, site in enumerate(sites):
        port = adapter.port(site)
        start, stop = port.part or (0, adapter.widths[site])
        found.setdefault(replace(port, part=None), []).append(Part(index, start, stop))
    widths = _widths(adapter, {site.layer for site in sites if site.head is not None}, sites[0].stack)
    return tuple(Place(port, widths.get(port, parts[0].stop), tuple(parts)) for port, parts in found.items())


def _widths(adapter: Adapter, layers: set[int], stack: str) -> Mapping[Port, int]:
    """For each of some layers the width of all its heads side by side."""
    heads = [
        adapter.port(site)
        for site in adapter.widths
        if site.head is not None and site.stack == stack and site.layer in layers
    ]
    # In ascending order: the last head ends where the state does.
    return {replace(port, part=None): port.part[1] for port in heads if port.part}


def side_by_side(vectors: Tensor, places: Sequence[Place]) -> list[Tensor]:
    """Vectors of sites as vectors of places, each head's where it belongs, (columns, width of the place) a place.

    `vectors`: of the sites, (sites, columns, widest site); zero beyond a site's own width.
    """
    return [_side_by_side(vectors, place) for place in places]


def _side_by_side(vectors: Tensor, place: Place) -> Tensor:
    whole = vectors.new_zeros(vectors.shape[1], place.width)
    for part in place.parts:
        part.of(whole).copy_(vectors[part.index, :, : part.stop - part.start])
    return whole


def by_site(table: Tensor, places: Sequence[Place]) -> Tensor:
    """A table of places as one of sites.

    `table`: (places or 1, ...); 1 stays 1.
    """
    if len(table) == 1:
        return table
    of_part = sorted((part.index, place) for place, one in enumerate(places) for part in one.parts)
    return table[torch.tensor([place for _, place in of_part], device=table.device)]
