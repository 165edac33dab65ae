"""What was really applied."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SiteReceipt:
    """What happened at one site, over the moments that were measured.

    Attributes:
        ratio: Mean over steered tokens of the norm of the change over the norm of the state before it.
        peak: The largest such ratio.
        moments: How many forward passes were measured; the first, then steps 1, 2, 4, 8 and so on.
    """

    ratio: float
    peak: float
    moments: int


@dataclass(frozen=True)
class Receipt:
    """What one run really applied, summed over its calls.

    Attributes:
        attributes: Each attribute as a line that reads back.
        sites: What was measured at each site.
        calls: Calls of `generate`, or sequences run by the user's own loop.
        rows: Batch rows, branches and beams included, summed over calls.
        steps: Output steps, summed over calls.
        tokens: Token positions at which at least one coefficient was not zero, summed over rows.
    """

    attributes: tuple[str, ...]
    sites: Mapping[str, SiteReceipt] = field(default_factory=dict)
    calls: int = 0
    rows: int = 0
    steps: int = 0
    tokens: int = 0

    @property
    def ratio(self) -> float | None:
        """Mean norm ratio over the sites; None before anything was measured."""
        return sum(site.ratio for site in self.sites.values()) / len(self.sites) if self.sites else None

    def __str__(self) -> str:
        ratio = f", {self.ratio:.1%} of the residual norm" if self.ratio is not None else ""
        return (
            f"{'; '.join(self.attributes) or 'unsteered'}: {self.calls} calls, {len(self.sites)} sites, "
            f"{self.rows} rows, {self.steps} steps, {self.tokens} tokens changed{ratio}"
        )
