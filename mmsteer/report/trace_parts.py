"""What `traces.json` holds: strength over time or over tokens, and for music what was played."""

from pydantic import Field

from mmsteer.report.parts import Part


class Curve(Part):
    """Strength over time."""

    times_s: list[float]
    strength: list[float]


class Played(Part):
    """The share of the voiced clips that play the note, over time."""

    times_s: list[float]
    share: list[float | None]
    unsteered: list[float | None] | None


class Followed(Part):
    """Schedule and played note in windows of time."""

    pearson: float | None
    spearman: float | None
    lag_s: float | None
    windows: int
    times_s: list[float]
    played: list[float | None]


class Traced(Part):
    """An attribute over time, or where the output has no time over its tokens."""

    direction: str
    label: str
    schedule: Curve | None = None
    steps: tuple[int, ...] = ()
    strength: tuple[float, ...] = ()
    played: Played | None = None
    following: Followed | None = None

    @property
    def curve(self) -> list[tuple[float, float]]:
        """Moments, in seconds or tokens, and the strength at each."""
        if self.schedule:
            return list(zip(self.schedule.times_s, self.schedule.strength, strict=False))
        return list(zip(self.steps, self.strength, strict=False))


class Crossing(Part):
    """When one note overtakes the other."""

    scheduled_s: float
    played_s: float | None


class ConditionTraces(Part):
    """The attributes of a condition over time, and of some outputs how far each word was pushed, by example."""

    attributes: list[Traced]
    words: dict[int, list[float]] = Field(default={})
    crossing: Crossing | None = None

    @property
    def timed(self) -> bool:
        """Whether the strengths are over seconds."""
        return any(one.schedule for one in self.attributes)
