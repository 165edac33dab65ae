"""Units of strength that are not what they seem."""

from collections.abc import Iterable, Mapping

from mmsteer.steering.attribute import OF_NORM, Steering
from mmsteer.steering.receipt import SiteReceipt
from mmsteer.types import Direction, Site

STALE = 1.5
"""A mean norm beyond this many medians of the steered tokens was made by an attention sink."""


def stale_units(steerings: Iterable[Steering], sites: Mapping[str, SiteReceipt]) -> tuple[str, ...]:
    """Directions whose unit is no median, and larger than the tokens that were steered, in words.

    `steerings`: what was applied.
    `sites`: what was measured.
    """
    items = [item for steering in steerings for item in steering.attributes if item.unit in OF_NORM]
    lines = [_stale(item.direction, item.written, sites) for item in items]
    return tuple(dict.fromkeys(line for line in lines if line))


def _stale(direction: Direction, written: Iterable[Site], sites: Mapping[str, SiteReceipt]) -> str:
    far = []
    for site in written:
        stats, measured = direction.stats[site], sites.get(str(site))
        if stats.norms is None and measured and stats.residual_norm > STALE * measured.norm:
            far.append(str(site))
    if not far:
        return ""
    return (
        f"the unit of {direction.name!r} at {', '.join(far)} is a mean over all tokens, attention sinks included, and "
        f"more than {STALE:g} times as large as the tokens that were steered; find the direction again, or use `token`"
    )
