"""Which part of a steering each stack of layers sees."""

from collections.abc import Sequence
from dataclasses import replace

from mmsteer.steering.attribute import Attribute, Steering
from mmsteer.types import Adapter, Site

SINK = "first - last"
"""The token that the others rest their attention on. Where it alone is the prompt, it predicts the output as well."""


def steerings_of_stack(adapter: Adapter, sites: Sequence[Site], steerings: Sequence[Steering]) -> tuple[Steering, ...]:
    """The steerings as one stack sees them.

    Attributes that write no site of the stack are left out. In the stack that makes the output, a rotation leaves the
    attention sink alone, unless its positions name `first`: turning it makes models end the answer at once. In any
    other stack, samples that are steered alike share one steering, so that any number of images is served.

    `sites`: the steered sites of the stack.
    `steerings`: one for each sample, or a single one for all.
    """
    mine = tuple(_within(steering, sites) for steering in steerings)
    if sites[0].stack == adapter.generator:
        return tuple(replace(one, attributes=tuple(map(_sparing_the_sink, one.attributes))) for one in mine)
    return mine[:1] if all(one == mine[0] for one in mine) else mine


def _within(steering: Steering, sites: Sequence[Site]) -> Steering:
    kept = tuple(item for item in steering.attributes if not set(sites).isdisjoint(item.written))
    return replace(steering, attributes=kept)


def _sparing_the_sink(item: Attribute) -> Attribute:
    if item.operator != "rotate" or item.positions.names("first"):
        return item
    return replace(item, positions=item.positions.without(SINK))
