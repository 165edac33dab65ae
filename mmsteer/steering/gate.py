"""Gates: steer only the tokens whose reading on a direction passes a threshold.

Closed tokens stay as they are, bit for bit. The reading is taken at the site that is edited, before its edit, so a gate
judges what the layers below made of the token, never its own doing.

Source: a threshold on a cosine, at one layer, is REVIS, arXiv:2602.11824.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from mmsteer.errors import SteeringError
from mmsteer.steering.names import quoted
from mmsteer.types import Direction, Feature, Site

SIDES = (">", "<", "active")
_TEXT = re.compile(
    r"(?P<name>\S+?)(\s+(?P<active>active)|\s*(?P<side>[<>])\s*(?P<threshold>[-+]?[\d.]+(?:e[-+]?\d+)?))"
)


@dataclass(frozen=True)
class Gate:
    """Opens for a token whose reading is above or below a threshold.

    Attributes:
        direction: What is read: (h . v - mean) / spread, with the mean and spread that the direction was found with;
            for a feature of a sparse dictionary, its activation in place of h . v.
        threshold: In spreads from the mean; not used by `active`.
        side: `>` opens above the threshold, `<` below it, `active` where a feature is not silent.
    """

    direction: Direction
    threshold: float = 0.0
    side: str = ">"

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise SteeringError(f"no side {self.side!r} of a gate; choose from {', '.join(SIDES)}")
        if not math.isfinite(self.threshold):
            raise SteeringError(f"when {self}: the threshold is not a finite number")

    def check_sites(self, sites: Sequence[Site]) -> None:
        """Refuse sites at which the direction says nothing.

        Args:
            sites: The sites that are edited.

        Raises:
            SteeringError: The direction was not read at a site, or knows no spread there.
        """
        if self.side == "active":
            self._check_active()
        missing = [site for site in sites if site not in self.direction.vectors]
        spreads = {site: self.direction.stats[site].spread for site in sites if site not in missing}
        flat = [site for site, spread in spreads.items() if self.side != "active" and not spread > 0]
        if missing or flat:
            where = ", ".join(map(str, missing or flat))
            lack = "was not read" if missing else "has a spread of zero"
            raise SteeringError(
                f"when {self}: {self.direction.name!r} {lack} at {where}, where the edit is; choose other sites with "
                "'on', or a direction that was fitted there"
            )

    def _check_active(self) -> None:
        if not self.direction.features:
            raise SteeringError(
                f"when {self}: {self.direction.name!r} is no feature of a sparse dictionary, so it is never silent; "
                "write NAME > NUMBER"
            )

    def at(self, site: Site) -> "Threshold":
        """The gate as it stands at a site, in units of the hidden state.

        Args:
            site: A site of the direction.
        """
        stats = self.direction.stats[site]
        level = 0.0 if self.side == "active" else stats.mean + self.threshold * stats.spread
        return Threshold(self.direction.vectors[site], level, self.side, self.direction.features.get(site))

    def __str__(self) -> str:
        if self.side == "active":
            return f"{quoted(self.direction.name)} active"
        return f"{quoted(self.direction.name)} {self.side} {self.threshold!r}"


@dataclass(frozen=True, eq=False)
class Threshold:
    """A gate at one site.

    Attributes:
        vector: What is read, (width,) or (tokens, width).
        level: The reading at which the gate opens.
        side: One of `SIDES`.
        feature: What is read in place of the component along the vector.
    """

    vector: Tensor
    level: float
    side: str
    feature: Feature | None = None

    def opens(self, reading: Tensor) -> Tensor:
        """For which tokens it opens."""
        return reading < self.level if self.side == "<" else reading > self.level


def parse_gate(text: str, directions: Mapping[str, Direction]) -> Gate:
    """Read a gate from its written form.

    Args:
        text: For example `risk:hallucination > 1.5`.
        directions: The directions that it may name.

    Raises:
        SteeringError: The text is no gate, or names no known direction.
    """
    match = _TEXT.fullmatch(text.strip())
    if not match:
        raise SteeringError(f"cannot read the gate {text!r}; write NAME > NUMBER, NAME < NUMBER or NAME active")
    if match["name"] not in directions:
        raise SteeringError(
            f"the gate {text!r}: no direction {match['name']!r}; choose from {', '.join(sorted(directions))}"
        )
    if match["active"]:
        return Gate(directions[match["name"]], side="active")
    try:
        threshold = float(match["threshold"])
    except ValueError:
        raise SteeringError(f"the gate {text!r}: {match['threshold']!r} is not a number") from None
    return Gate(directions[match["name"]], threshold, match["side"])
