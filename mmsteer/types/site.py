"""Where hidden states are read and written."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import total_ordering
from typing import NamedTuple

from mmsteer.errors import SiteError, clip

POINTS: Mapping[str, str] = {
    "embedding": "the residual stream before the first layer, so of layer 0 alone",
    "head": "the output of one attention head, before the output projection; layers without attention have none",
    "attention": "what self-attention adds to the residual stream",
    "cross_attention": "what cross-attention adds to the residual stream; few models have it",
    "mid": "the residual stream that the MLP and its norm are given; where attention and MLP run side by side, as in "
    "GPT-J, and in recurrent layers, there is none",
    "mlp_input": "what the MLP is given, behind its norm",
    "mlp": "what the MLP adds to the residual stream",
    "block": "the residual stream after the whole layer",
}
"""The points of a layer, in the order in which it computes them, and what their states are."""

WRITTEN = ("attention", "cross_attention", "mlp")
"""Points that are the output of one part of a layer, which its last weight may write."""

APART = ("head", "mlp_input")
"""Points outside the residual stream: what is added at several of them does not add up to one vector."""

_RANKS = {point: rank for rank, point in enumerate(POINTS)}

MOST = 100_000
"""Layers, or heads, of one range."""

_PATTERN = re.compile(
    r"(?P<stack>[a-z_]+)\.(?P<layers>\*|[0-9]{1,9}(?:-[0-9]{1,9})?)"
    r"(?:\.(?P<point>[a-z_]+)(?:\.(?P<heads>\*|[0-9]{1,9}(?:-[0-9]{1,9})?))?)?"
)


@total_ordering
@dataclass(frozen=True)
class Site:
    """One place in one layer: stack, layer counted from 0, point, and for attention heads which one.

    The point `block` is the residual stream after the whole layer; `POINTS` has the others. Sites of a stack sort in
    the order in which the model computes them.

    >>> Site.parse("decoder.12")
    Site(stack='decoder', layer=12, point='block', head=None)
    >>> str(Site("vision", 3, "mlp")), str(Site("text", 12, "head", 5))
    ('vision.3.mlp', 'text.12.head.5')
    >>> [str(site) for site in sorted([Site("text", 0), Site("text", 1, "mlp"), Site("text", 0, "embedding")])]
    ['text.0.embedding', 'text.0', 'text.1.mlp']
    """

    stack: str
    layer: int
    point: str = "block"
    head: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Site":
        """Read one site from its written form.

        Args:
            text: For example `decoder.12`, `text.8.mlp` or `text.12.head.5`.

        Raises:
            SiteError: The text does not name exactly one site.
        """
        term = _split(text)
        if not term.layers.isdigit() or not (term.heads or "0").isdigit():
            raise SiteError(f"{text!r} names several sites; write one, such as '{term.stack}.12'")
        return cls(term.stack, int(term.layers), term.point, None if term.heads is None else int(term.heads))

    def __lt__(self, other: "Site") -> bool:
        return self._place < other._place

    @property
    def _place(self) -> tuple[str, int, int, int]:
        return self.stack, self.layer, _RANKS[self.point], -1 if self.head is None else self.head

    def __str__(self) -> str:
        point = "" if self.point == "block" else f".{self.point}"
        head = "" if self.head is None else f".{self.head}"
        return f"{self.stack}.{self.layer}{point}{head}"


def select_sites(pattern: str, available: Collection[Site], direction: str | None = None) -> tuple[Site, ...]:
    """The available sites that a pattern names, in the order of `available`.

    Args:
        pattern: Comma-separated terms such as `decoder.*`, `text.8-16`, `vision.3.mlp`, `text.10-14.head.*`; ranges
            include both ends.
        available: What there is to choose from.
        direction: The direction whose sites these are; None for those of a model.

    Raises:
        SiteError: A term cannot be read or names a site that is not among them.

    >>> layers = [Site("decoder", i) for i in range(4)]
    >>> [str(site) for site in select_sites("decoder.1-2, decoder.3", layers)]
    ['decoder.1', 'decoder.2', 'decoder.3']
    """
    chosen: set[Site] = set()
    for term in pattern.split(","):
        chosen |= _expand(term.strip(), available, direction)
    return tuple(site for site in available if site in chosen)


class _Term(NamedTuple):
    stack: str
    layers: str
    point: str
    heads: str | None


def _expand(text: str, available: Collection[Site], direction: str | None) -> set[Site]:
    term = _split(text)
    peers = [site for site in available if (site.stack, site.point) == (term.stack, term.point)]
    layers = _numbers(term.layers, {site.layer for site in peers})
    chosen = {site for site in peers if site.layer in layers}
    missing = layers - {site.layer for site in chosen}
    if term.heads is not None:
        heads = _numbers(term.heads, {site.head for site in chosen if site.head is not None})
        chosen = {site for site in chosen if site.head in heads}
        missing |= {layer for layer in layers for head in heads if Site(term.stack, layer, "head", head) not in chosen}
    if missing or not chosen:
        have = _have(term, peers, available)
        if direction is None:
            raise SiteError(f"site {text!r}: this model has no such site; {have}")
        raise SiteError(
            f"site {text!r}: {direction!r} was not found there; {have}; `mmsteer probe --sites` finds it elsewhere"
        )
    return chosen


def _numbers(text: str, known: set[int]) -> set[int]:
    first, _, last = text.partition("-")
    if text == "*":
        return known
    start, stop = int(first), int(last or first)
    if stop - start > MOST:
        raise SiteError(f"{text!r} are more than {MOST} layers or heads, which no model has")
    return set(range(start, stop + 1))


def _have(term: _Term, peers: Collection[Site], available: Collection[Site]) -> str:
    """What there is in place of a site that is missing."""
    if not peers:
        kinds = sorted({f"{site.stack}.* ({site.point})" for site in available})
        what = "" if term.point == "block" else f"{term.point} is {POINTS[term.point]}; "
        return f"{what}it has {', '.join(kinds)}"
    layers = _spans({site.layer for site in peers})
    heads = {site.head for site in peers if site.head is not None}
    return f"it has layers {layers} there" + (f", and heads {_spans(heads)}" if heads else "")


def _spans(numbers: set[int]) -> str:
    """Numbers as ranges.

    >>> _spans({0, 1, 2, 5})
    '0-2, 5'
    """
    starts = sorted(number for number in numbers if number - 1 not in numbers)
    ends = sorted(number for number in numbers if number + 1 not in numbers)
    return ", ".join(f"{start}-{end}" if end > start else str(start) for start, end in zip(starts, ends, strict=True))


def _split(text: str) -> _Term:
    match = _PATTERN.fullmatch(text)
    point = match["point"] or "block" if match else ""
    if not match or point not in POINTS or (match["heads"] is not None) != (point == "head"):
        raise SiteError(
            f"cannot read site {clip(text)}; write stack.layer, stack.layer.point or stack.layer.head.number, such as "
            f"'decoder.12', 'text.8-16', 'vision.*.mlp' or 'text.10-14.head.*' (points: {', '.join(POINTS)})"
        )
    return _Term(match["stack"], match["layers"], point, match["heads"])
