"""What was really applied."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mmsteer.steering.total import Total
from mmsteer.types import LogHistogram

STRONG = 0.5
"""A median ratio beyond this is warned of: the push is then no longer small against what the model computed."""


@dataclass(frozen=True)
class SiteReceipt:
    """How far the steered tokens of one site were moved: the norm of the change over the norm of the state before it.

    Attributes:
        ratio: Mean over the tokens.
        peak: The largest.
        moments: How many forward passes were measured; the first, then steps 1, 2, 4, 8 and so on.
        ratios: All of them, to 0.54 %.
        norm: Median norm of these tokens before the change.
        sampled: Whether of the steps after the prompt only those that were measured count. Where all edits are sums of
            pushes every step counts: its push is known, and the norm is the one that its row had when last measured.
    """

    ratio: float
    peak: float
    moments: int
    ratios: LogHistogram
    norm: float
    sampled: bool


@dataclass(frozen=True)
class GateReceipt:
    """What gates did at one site, summed over them.

    Attributes:
        asked: Tokens that would have been steered without a gate.
        passed: Those of them that a gate let through.
    """

    asked: int
    passed: int


@dataclass(frozen=True)
class Receipt:
    """What one run really applied, summed over its calls.

    Attributes:
        attributes: Each attribute as a line that reads back.
        sites: What was measured at each site.
        calls: Calls of `generate`, or sequences run by the user's own loop.
        rows: Batch rows, branches and beams included, summed over calls; images or tiles where only stacks beside the
            one that makes the output are steered.
        steps: Output steps that were steered, summed over calls; a stack beside the one that makes the output has one.
        tokens: Token positions at which at least one coefficient was not zero, summed over rows and stacks, whether or
            not a gate let them through.
        gates: What gates let through at each site that has one.
        compatibility: How alike the model is to those that the directions were found in: `exact`, `architecture` or
            `dimension`.
        totals: What pushes at several sites add up to at the last of them.
        stale: Directions whose unit of strength is larger than the tokens that were steered, in words.
    """

    attributes: tuple[str, ...]
    sites: Mapping[str, SiteReceipt] = field(default_factory=dict)
    calls: int = 0
    rows: int = 0
    steps: int = 0
    tokens: int = 0
    gates: Mapping[str, GateReceipt] = field(default_factory=dict)
    compatibility: str = "exact"
    totals: tuple[Total, ...] = ()
    stale: tuple[str, ...] = ()

    @property
    def ratio(self) -> float | None:
        """Mean norm ratio over the sites; None before anything was measured."""
        return sum(site.ratio for site in self.sites.values()) / len(self.sites) if self.sites else None

    @property
    def ratios(self) -> LogHistogram:
        """The norm ratio of every steered token at every site."""
        return sum((site.ratios for site in self.sites.values()), LogHistogram({}))

    @property
    def sampled(self) -> bool:
        """Whether at some site only the steps that were measured count."""
        return any(site.sampled for site in self.sites.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the strength another than it seems."""
        return strong({name: site.ratios for name, site in self.sites.items()}) + self.stale

    def __str__(self) -> str:
        asked = sum(gate.asked for gate in self.gates.values())
        passed = sum(gate.passed for gate in self.gates.values())
        gates = f"; gates let {passed} of {asked} through" if self.gates else ""
        other = "" if self.compatibility == "exact" else f"; found in another model (same {self.compatibility})"
        lines = (
            f"{'; '.join(self.attributes) or 'unsteered'}: {self.calls} calls, {len(self.sites)} sites, "
            f"{self.rows} rows, {self.steps} steps, {self.tokens} tokens changed{self._measured()}{gates}{other}",
            *map(str, self.totals),
            *(f"warning: {warning}" for warning in self.warnings),
        )
        return "\n".join(lines)

    def _measured(self) -> str:
        if not self.sites:
            return ""
        low, median, high = (self.ratios.quantile(share) for share in (0.05, 0.5, 0.95))
        sampled = ", sampled at the prompt and steps 1, 2, 4, 8, ..." if self.sampled else ""
        return f" by {median:.1%} of their norm (5 to 95 %: {low:.1%} to {high:.1%}{sampled})"


def strong(ratios: Mapping[str, LogHistogram]) -> tuple[str, ...]:
    """A warning where half of the steered tokens of a site were moved by more than `STRONG` of their norm.

    Args:
        ratios: For each site the norm ratios of its tokens.
    """
    found = {site: one.median for site, one in ratios.items() if one.median > STRONG}
    if not found:
        return ()
    where = ", ".join(f"{median:.0%} at {site}" for site, median in found.items())
    return (f"half of the steered tokens were moved by more than {STRONG:.0%} of their norm: the median is {where}",)
