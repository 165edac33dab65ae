"""What to steer: directions with strengths, schedules and places."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from mmsteer.errors import SteeringError, clip
from mmsteer.schedules import Constant, Schedule, parse_schedule
from mmsteer.schedules.timeline import number_text
from mmsteer.steering.gate import Gate, parse_gate
from mmsteer.steering.names import quoted, unquoted
from mmsteer.steering.operators import NAMES
from mmsteer.steering.weights import layer_weights, parse_weights
from mmsteer.types import APART, COMPATIBILITIES, Direction, Identified, Positions, Site, select_sites

Unit = Literal["relative", "absolute", "token", "std", "trained", "total"]
UNITS: dict[str, Unit] = {
    "": "relative",
    "%": "relative",
    "abs": "absolute",
    "token": "token",
    "std": "std",
    "trained": "trained",
    "total": "total",
}
"""The unit that each suffix of a strength stands for; the first suffix of a unit is the one that prints."""
SUFFIXES: Mapping[str, str] = {unit: suffix for suffix, unit in reversed(UNITS.items())}
"""The suffix that prints, of each unit."""
PUSHES = ("add", "rotate")
"""Operators whose strength is the length of a push."""
OF_NORM = ("relative", "total")
"""Units that are fractions of the typical norm."""
BRANCHES = ("both", "conditional", "null")
COMPOSITIONS = ("sum", "gram_schmidt", "whiten")
_KEYWORDS = {
    "at": "positions",
    "on": "sites",
    "weights": "weights",
    "by": "operator",
    "branch": "branch",
    "when": "gate",
}
_HEAD = re.compile(
    r"(?P<name>\S++)\s++(?P<strength>[-+]?[\d.]++(?:e[-+]?\d++)?)"
    rf"(?:\s*+(?P<unit>%|(?:{'|'.join(filter(str.isalpha, UNITS))})\b))?"
    r"(?:\s++(?P<schedule>.+))?"
)
LONGEST = 200_000
"""Characters of one line."""


@dataclass(frozen=True)
class Attribute:
    """One direction, pushed by one operator, as strong as its schedule says.

    Attributes:
        direction: What to push along.
        strength: For `add` and `rotate` the length of the push, for `clamp` and `at_least` the target, all in the unit;
            for `project_out` the share removed.
        schedule: Factor over time.
        positions: Which tokens.
        sites: Which of the direction's sites, such as `decoder.8-16`; None for all.
        weights: How the strength is shared among the sites; see `layer_weights`.
        operator: `add`, `rotate`, `project_out`, `clamp` or `at_least`.
        unit: `relative`, a fraction of the site's typical residual norm; `token`, a fraction of the norm that each
            token has there before the edit; `std`, the standard deviation there of the projection of the data on the
            direction, as ITI measures it; `trained`, the length that a trained vector has there; `absolute`; or
            `total`, for all sites together: pushes w N f at sites of weight w and typical norm N, with one f for each
            stack, so that the sum of their lengths is this fraction of the typical norm at the last of them. The
            lengths are those of relative strengths times f, whatever the vectors. An edit takes `trained` alone,
            as a factor of what it adds.
        branch: Rows of classifier-free guidance to steer: `both`, `conditional` or `null`.
        gate: Which of these tokens, by what is read in them; None for all.
    """

    direction: Direction
    strength: float
    schedule: Schedule = Constant(1.0)
    positions: Positions = Positions("all")
    sites: str | None = None
    weights: str = "uniform"
    operator: str = "add"
    unit: str = "relative"
    branch: str = "both"
    gate: Gate | None = None

    def __post_init__(self) -> None:
        _choose("operator", self.operator, NAMES)
        _choose("unit", self.unit, tuple(dict.fromkeys(UNITS.values())))
        _choose("branch", self.branch, BRANCHES)
        parse_weights(self.weights)
        if self.unit == "total" and self.operator not in PUSHES:
            raise SteeringError(
                f"{self.direction.name}: a total is for pushes, {' or '.join(PUSHES)}; {self.operator!r} has none"
            )
        if self.unit in OF_NORM:
            self._check_norms()
        if self.direction.edits and (self.operator, self.unit) != ("add", "trained"):
            raise SteeringError(
                f"{self.direction.name}: a low-rank edit is applied as it was trained, times a factor; write such as "
                "'1trained', without an operator"
            )
        if self.unit == "std":
            self._check_spreads()
        if self.unit == "trained" and any(one.length is None for one in self.direction.stats.values()):
            raise SteeringError(
                f"{self.direction.name}: no length was trained, so no strength is a multiple of it; use another unit, "
                "such as a fraction of the norm"
            )
        if not math.isfinite(self.strength):
            raise SteeringError(f"{self.direction.name}: the strength {self.strength} is not a finite number")

    def check(self, model: Identified) -> str:
        """Refuse a model in which a direction of this attribute was not found, and a gate that cannot be read.

        Args:
            model: The model.

        Returns:
            How alike it is to the models that the directions were found in: `exact`, `architecture` or `dimension`.

        Raises:
            DirectionError: The model is another.
            SteeringError: The gate's direction says nothing at a site that is written, or a total is asked of sites
                whose pushes do not add up.
        """
        level = self.direction.check_model(model)
        self._check_total()
        if not self.gate:
            return level
        self.gate.check_sites(self.written)
        return max(level, self.gate.direction.check_model(model), key=COMPATIBILITIES.index)

    def _check_total(self) -> None:
        apart = [str(site) for site in self.written if site.point in APART] if self.unit == "total" else []
        if apart:
            raise SteeringError(
                f"{self.direction.name}: a total is of pushes that add up in the residual stream, and those at "
                f"{apart[0]} do not; use a fraction of the norm, or `std`"
            )

    def _check_norms(self) -> None:
        flat = [str(site) for site in self.direction.sites if not self.direction.stats[site].residual_norm > 0]
        if flat and self.operator != "project_out" and self.strength:
            raise SteeringError(
                f"{self.direction.name}: the typical norm at {flat[0]} was not measured, so no strength is a fraction "
                "of it; measure it with mmsteer convert --model, or use another unit, such as trained or abs"
            )

    def _check_spreads(self) -> None:
        flat = [str(site) for site in self.direction.sites if not self.direction.stats[site].spread > 0]
        if flat:
            raise SteeringError(
                f"{self.direction.name}: the data have no spread along it at {', '.join(flat)}, so no strength counts "
                "standard deviations; use another unit, such as a fraction of the norm"
            )

    def accepting(self, compatibility: str) -> "Attribute":
        """The same attribute for models that need only be so like those that its directions were found in.

        Args:
            compatibility: `exact`, `architecture` or `dimension`.

        Raises:
            DirectionError: There is no such compatibility.
        """
        direction = replace(self.direction, compatibility=compatibility)
        gate = self.gate and replace(self.gate, direction=replace(self.gate.direction, compatibility=compatibility))
        return replace(self, direction=direction, gate=gate)

    @cached_property
    def shares(self) -> Mapping[Site, float]:
        """The weight of each site that it writes: of those of its direction that it selects, those of some weight.

        Raises:
            SteeringError: A site has no score to weigh by.
        """
        sites = select_sites(self.sites, self.direction.sites) if self.sites else self.direction.sites
        return {site: weight for site, weight in layer_weights(self.weights, self.direction, sites).items() if weight}

    @property
    def written(self) -> tuple[Site, ...]:
        """The sites it writes."""
        return tuple(self.shares)

    def __str__(self) -> str:
        unit = SUFFIXES[self.unit]
        defaults = Attribute(self.direction, 0.0, unit=self.unit)
        parts = [f"{quoted(self.direction.name)} {number_text(self.strength)}{unit} {self.schedule}"]
        for word, field in _KEYWORDS.items():
            value = getattr(self, field)
            if value != getattr(defaults, field):
                parts.append(f"{word} {value}")
        return " ".join(parts)


@dataclass(frozen=True)
class Steering:
    """Several attributes at once.

    Attributes:
        attributes: What to push.
        compose: How added directions meet at a site: `sum` adds them as they are; `gram_schmidt` takes from each
            what earlier ones already push; `whiten` makes them orthogonal symmetrically, none before another.
        budget: Most that all added directions together may measure at a site, as a fraction of its residual
            norm; at a moment when one site has more, all are scaled down by one factor. None for no limit.

    Source: symmetric orthogonalisation, Löwdin 1950, doi:10.1063/1.1747632.
    """

    attributes: tuple[Attribute, ...] = ()
    compose: str = "sum"
    budget: float | None = None

    def __post_init__(self) -> None:
        _choose("compose", self.compose, COMPOSITIONS)
        unmeasured = [item.direction.name for item in self.attributes if self.budget and not item.direction.is_measured]
        if unmeasured:
            raise SteeringError(
                f"{unmeasured[0]}: the typical norms at its sites were not measured, so no budget is a fraction of them"
            )
        if self.budget is not None and not self.budget > 0:
            raise SteeringError(f"the budget {self.budget} is not above zero; leave it out for no limit")

    def check(self, model: Identified) -> str:
        """Refuse a model that one of the attributes is not for.

        Args:
            model: The model.

        Returns:
            How alike it is to the models that the directions were found in, the least alike of them: `exact`,
            `architecture` or `dimension`.

        Raises:
            DirectionError: A direction was found in another model.
            SteeringError: A gate says nothing at a site that is written, or a total is asked of sites whose pushes do
                not add up.
        """
        levels = (item.check(model) for item in self.attributes)
        return max(levels, key=COMPATIBILITIES.index, default=COMPATIBILITIES[0])

    def scaled(self, factor: float) -> "Steering":
        """The same steering with every strength multiplied.

        Args:
            factor: What to multiply by.
        """
        attributes = tuple(replace(item, strength=item.strength * factor) for item in self.attributes)
        return replace(self, attributes=attributes)

    def __str__(self) -> str:
        return "; ".join(map(str, self.attributes)) or "unsteered"


def parse_attribute(text: str, directions: Mapping[str, Direction]) -> Attribute:
    """Read one attribute from a line.

    The form is `NAME STRENGTH [SCHEDULE] [at POSITIONS] [on SITES] [weights WEIGHTS] [by OPERATOR] [branch BRANCH]
    [when GATE]`, such as `note:C 0.1 fade-in 0..4s`, `register:high 8% at generated on decoder.2-5` or
    `grounded 0.1token by rotate when risk:hallucination > 1.5`. The strength is relative; `%` divides by 100, `token`
    takes it of each token's own norm, `std` counts standard deviations along the direction, `trained` multiplies the
    length of a trained vector, `total` is for all sites together, and `abs` makes it absolute. A name with spaces
    stands in double quotes.

    Args:
        text: The line.
        directions: The directions that it may name.

    Raises:
        SteeringError: The line cannot be read, or names no known direction.
    """
    if len(text) > LONGEST:
        raise SteeringError(f"a line of {len(text)} characters, {clip(text)}; at most {LONGEST} are read")
    text, directions = unquoted(text, directions)
    head, options = _split(text)
    match = _HEAD.fullmatch(head.strip())
    if not match:
        raise SteeringError(
            f"cannot read {clip(text)}; write NAME STRENGTH [SCHEDULE], such as 'note:C 0.1 fade-in 0..4s'"
        )
    if match["name"] not in directions:
        raise SteeringError(
            f"{clip(text)}: no direction {clip(match['name'])}; choose from {', '.join(sorted(directions))}"
        )
    return Attribute(
        directions[match["name"]],
        _number(match["strength"], text) / (100 if match["unit"] == "%" else 1),
        parse_schedule(match["schedule"]) if match["schedule"] else Constant(1.0),
        Positions(options.get("positions", "all")),
        options.get("sites"),
        options.get("weights", "uniform"),
        options.get("operator", "add"),
        UNITS[match["unit"] or ""],
        options.get("branch", "both"),
        parse_gate(options["gate"], directions) if "gate" in options else None,
    )


def _number(text: str, line: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SteeringError(f"{clip(line)}: {clip(text)} is not a number") from None


def _split(text: str) -> tuple[str, dict[str, str]]:
    parts = re.split(rf"\s({'|'.join(_KEYWORDS)})\s", text)
    words, values = parts[1::2], parts[2::2]
    repeated = [word for word, times in Counter(words).items() if times > 1]
    if repeated:
        raise SteeringError(f"{clip(text)} says {' and '.join(sorted(repeated))} twice")
    return parts[0], {_KEYWORDS[word]: value.strip() for word, value in zip(words, values, strict=True)}


def _choose(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SteeringError(f"no {what} {value!r}; choose from {', '.join(allowed)}")
