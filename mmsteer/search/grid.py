"""The sites and strengths that a search tries."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mmsteer.errors import SteeringError
from mmsteer.search.cells import Place
from mmsteer.types import Direction, Positions, Site, select_sites

STRENGTHS = (0.05, 0.1, 0.15, 0.2, 0.3)
SINGLES, BANDS, WIDTH = 7, 3, 5
"""Single layers and bands of a default grid, and the layers of a band."""
BEST_HEADS = (4, 12, 24)
"""Heads that a default grid steers together, those of the highest scores; Li et al. 2023, arXiv:2306.03341."""


@dataclass(frozen=True)
class Grid:
    """What is tried.

    Attributes:
        sites: Selections of the direction's sites, such as `text.14`, `text.10-14` or `text.12.head.5`; empty for
            single layers and bands over the middle of the stack, of a direction at heads for the best heads, alone and
            together.
        strengths: Fractions of the residual norm. A band shares each among its layers.
        positions: At which tokens; each is tried.
    """

    sites: tuple[str, ...] = ()
    strengths: tuple[float, ...] = STRENGTHS
    positions: tuple[str, ...] = ("all",)

    def places(self, direction: Direction) -> tuple[Place, ...]:
        """The cells of the grid, the weakest first.

        Args:
            direction: What is steered along.

        Raises:
            SteeringError: There are no strengths, one of them is 0 or not finite, or positions cannot be read.
        """
        if not self.strengths or not all(math.isfinite(one) and one for one in self.strengths):
            raise SteeringError(f"strengths are numbers other than 0, such as 0.1,0.2,0.4, not {self.strengths}")
        for text in self.positions:
            Positions(text)
        sites = self.sites or default_sites(direction)
        counts = {text: len(select_sites(text, direction.sites, direction.name)) for text in sites}
        ordered = sorted(set(self.strengths), key=lambda one: (abs(one), one))
        return tuple(
            Place(text, round(one / counts[text], 6), at) for one in ordered for text in counts for at in self.positions
        )


def default_sites(direction: Direction) -> tuple[str, ...]:
    """Single blocks and bands of blocks, spread over the middle three fifths of a direction's sites.

    Where all its sites are heads: the single heads and the groups of heads with the highest scores.

    Args:
        direction: The direction.
    """
    if all(site.head is not None for site in direction.sites):
        return _best_heads(direction)
    blocks = [site for site in direction.sites if site.point == "block"] or list(direction.sites)
    fifth = len(blocks) // 5
    middle = blocks[fifth : len(blocks) - fifth]
    bands = _spread(middle[: max(0, len(middle) - WIDTH + 1)], BANDS)
    singles = [str(one) for one in _spread(middle, SINGLES)]
    return (*singles, *(_band(middle[middle.index(one) : middle.index(one) + WIDTH]) for one in bands))


def _best_heads(direction: Direction) -> tuple[str, ...]:
    ranked = sorted(direction.sites, key=lambda site: -(direction.stats[site].score or 0.0))
    groups = [ranked[:count] for count in BEST_HEADS if count <= len(ranked)]
    return (*map(str, ranked[:SINGLES]), *(",".join(map(str, sorted(group))) for group in groups))


def _spread(items: Sequence[Site], count: int) -> list[Site]:
    most = min(count, len(items))
    return [items[round(at * (len(items) - 1) / max(1, most - 1))] for at in range(most)]


def _band(sites: Sequence[Site]) -> str:
    """Neighbours as one term, which names their stack and point as each of them does."""
    first, last = sites[0], sites[-1]
    if last.layer - first.layer == len(sites) - 1 and len({site.point for site in sites}) == 1:
        return str(first).replace(f".{first.layer}", f".{first.layer}-{last.layer}", 1)
    return ",".join(map(str, sites))
