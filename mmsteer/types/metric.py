"""What a measured number means, as plain data that reports and tables read."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """Name, meaning and direction of a number.

    Attributes:
        name: As it is written in results.
        meaning: One plain sentence.
        better: Which direction is an improvement; None where neither is by itself.
        unit: Such as `share`, `words` or `nats/token`; empty for a number without a unit.
        chance: Its value under guessing; None where that is not defined or depends on the sample.
        decimals: Digits after the point in tables.
    """

    name: str
    meaning: str
    better: Literal["higher", "lower"] | None = None
    unit: str = ""
    chance: float | None = None
    decimals: int = 3
