"""Where hidden states are read and written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmsteer.errors import SiteError

POINTS = ("block", "attention", "mlp")
_PATTERN = re.compile(r"(?P<stack>[a-z_]+)\.(?P<layers>\*|\d+(?:-\d+)?)(?:\.(?P<point>[a-z]+))?")


@dataclass(frozen=True, order=True)
class Site:
    """The output of one part of one layer: stack, layer counted from 0, and point.

    The point `block` is the residual stream after the whole layer; `attention` and `mlp` are the
    outputs that the layer adds to it.

    >>> Site.parse("decoder.12")
    Site(stack='decoder', layer=12, point='block')
    >>> str(Site("vision", 3, "mlp"))
    'vision.3.mlp'
    """

    stack: str
    layer: int
    point: str = "block"

    @classmethod
    def parse(cls, text: str) -> "Site":
        """Read one site from its written form.

        Args:
            text: For example `decoder.12` or `text.8.mlp`.

        Raises:
            SiteError: The text does not name exactly one site.
        """
        stack, layers, point = _split(text)
        if not layers.isdigit():
            raise SiteError(f"{text!r} names several sites; write one, such as '{stack}.12'")
        return cls(stack, int(layers), point)

    def __str__(self) -> str:
        suffix = "" if self.point == "block" else f".{self.point}"
        return f"{self.stack}.{self.layer}{suffix}"


def select_sites(pattern: str, available: Sequence[Site]) -> tuple[Site, ...]:
    """The available sites that a pattern names, in the order of `available`.

    Args:
        pattern: Comma-separated terms such as `decoder.*`, `text.8-16`, `vision.3.mlp`; ranges
            include both ends.
        available: What the model has.

    Raises:
        SiteError: A term cannot be read or names a site that the model does not have.

    >>> layers = [Site("decoder", i) for i in range(4)]
    >>> [str(site) for site in select_sites("decoder.1-2, decoder.3", layers)]
    ['decoder.1', 'decoder.2', 'decoder.3']
    """
    chosen: set[Site] = set()
    for term in pattern.split(","):
        chosen |= _expand(term.strip(), available)
    return tuple(site for site in available if site in chosen)


def _expand(term: str, available: Sequence[Site]) -> set[Site]:
    stack, layers, point = _split(term)
    peers = {site.layer: site for site in available if (site.stack, site.point) == (stack, point)}
    first, _, last = layers.partition("-")
    wanted = peers.keys() if layers == "*" else range(int(first), int(last or first) + 1)
    missing = [layer for layer in wanted if layer not in peers]
    if missing or not wanted:
        kinds = sorted({f"{site.stack}.* ({site.point})" for site in available})
        have = f"it has layers {min(peers)}-{max(peers)} there" if peers else f"it has {', '.join(kinds)}"
        raise SiteError(f"site {term!r}: this model has no such site; {have}")
    return {peers[layer] for layer in wanted}


def _split(term: str) -> tuple[str, str, str]:
    match = _PATTERN.fullmatch(term)
    point = match["point"] or "block" if match else ""
    if not match or point not in POINTS:
        raise SiteError(
            f"cannot read site {term!r}; write stack.layer or stack.layer.point, such as 'decoder.12', "
            f"'text.8-16' or 'vision.*.mlp' (points: {', '.join(POINTS)})"
        )
    return match["stack"], match["layers"], point
