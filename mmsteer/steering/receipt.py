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
    """

    attributes: tuple[str, ...]
    sites: Mapping[str, SiteReceipt] = field(default_factory=dict)
    calls: int = 0
    rows: int = 0
    steps: int = 0
    tokens: int = 0
    gates: Mapping[str, GateReceipt] = field(default_factory=dict)
    compatibility: str = "exact"

    @property
    def ratio(self) -> float | None:
        """Mean norm ratio over the sites; None before anything was measured."""
        return sum(site.ratio for site in self.sites.values()) / len(self.sites) if self.sites else None

    def __str__(self) -> str:
        ratio = f", {self.ratio:.1%} of the residual norm" if self.ratio is not None else ""
        asked = sum(gate.asked for gate in self.gates.values())
        passed = sum(gate.passed for gate in self.gates.values())
        gates = f"; gates let {passed} of {asked} through" if self.gates else ""
        other = "" if self.compatibility == "exact" else f"; found in another model (same {self.compatibility})"
        return (
            f"{'; '.join(self.attributes) or 'unsteered'}: {self.calls} calls, {len(self.sites)} sites, "
            f"{self.rows} rows, {self.steps} steps, {self.tokens} tokens changed{ratio}{gates}{other}"
        )
