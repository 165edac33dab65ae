"""What the files of a run folder hold, as far as a page shows it."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict


class Part(BaseModel):
    """A mapping of a file; keys that no page shows may be there as well."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class State(Part):
    """Whose folder this is: `run.json`."""

    id: str
    name: str
    finished: bool


class ModelName(Part):
    """A model."""

    name: str
    fingerprint: str


class Environment(Part):
    """What the run was made with."""

    mmsteer: str
    code: str
    python: str
    platform: str
    packages: dict[str, str]
    model: ModelName
    directions: dict[str, str]


class Condition(Part):
    """One row of clips."""

    name: str
    kind: Literal["steered", "unsteered", "random"]
    values: dict[str, Any]
    steering: list[str]
    target: dict[str, str]
    controls: list[str]


class Prompt(Part):
    """What is generated."""

    index: int
    text: str
    seed: int


class Trace(Part):
    """The strongest pitch class of each frame, -1 where none is heard."""

    hop_s: float
    classes: list[int]


class Notes(Part):
    """What the evaluator of notes heard."""

    main_note: str | None
    voiced: float
    share: dict[str, float] | None
    trace: Trace


class Readings(Part):
    """What every evaluator heard; the others' readings as they are."""

    model_config = ConfigDict(extra="allow")
    notes: Notes | None = None

    def label(self, evaluator: str, field: str) -> str | None:
        """What an evaluator heard, None where it could not tell.

        Args:
            evaluator: Its name.
            field: Which part of its reading.
        """
        if evaluator == "notes":
            return self.notes.main_note if self.notes else None
        reading = (self.model_extra or {}).get(evaluator)
        found = reading.get(field) if isinstance(reading, dict) else None
        return None if found is None else str(found)


def _inside(path: str) -> str:
    """Refuse what would lead a browser out of the run folder.

    Raises:
        ValueError: The path does; pydantic makes it a validation error.
    """
    parts = PurePosixPath(path).parts
    if not parts or parts[0] != "audio" or ".." in parts:
        raise ValueError(f"{path[:80]!r} does not lie in the folder audio")
    return path


class Sample(Part):
    """A finished clip."""

    condition: str
    prompt: int
    audio: Annotated[str, AfterValidator(_inside)]
    readings: Readings


class Interval(Part):
    """A mean with its interval."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    unscored: int


class Metric(Part):
    """A score beside its controls."""

    steered: Interval
    unsteered: Interval | None
    difference: Interval | None
    random: Interval | None
    random_difference: Interval | None
    chance: float | None


class Row(Part):
    """The scores of a condition, or of several that differ in their target alone."""

    condition: str
    conditions: list[str]
    values: dict[str, Any]
    target: dict[str, str] | None
    kl: float | None
    ratio: float | None
    metrics: dict[str, Metric]


class Scores(Part):
    """All scores."""

    rows: list[Row]
    summaries: list[Row]

    @property
    def main(self) -> list[Row]:
        """The summaries, and the rows that none of them pools, in the order of the conditions."""
        pooled = {name for row in self.summaries for name in row.conditions}
        order = {row.condition: place for place, row in enumerate(self.rows)}
        alone = [row for row in self.rows if row.condition not in pooled]
        return sorted([*self.summaries, *alone], key=lambda row: order.get(row.conditions[0], 0))


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
    """An attribute over time."""

    direction: str
    label: str
    schedule: Curve
    played: Played | None
    following: Followed | None


class Crossing(Part):
    """When one note overtakes the other."""

    scheduled_s: float
    played_s: float | None


class ConditionTraces(Part):
    """The attributes of a condition over time."""

    attributes: list[Traced]
    crossing: Crossing | None


class ProbeRow(Part):
    """A probe's scores at one site."""

    site: str
    score: float | None
    labels: dict[str, float | None]


class ProbeTable(Part):
    """A probe's scores at all sites."""

    family: str
    probe: str
    metric: str
    labels: list[str]
    rows: list[ProbeRow]


class SiteReceipt(Part):
    """What was measured at a site."""

    ratio: float
    peak: float


class Receipt(Part):
    """What was applied in a condition."""

    attributes: list[str]
    calls: int
    rows: int
    steps: int
    tokens: int
    ratio: float | None
    sites: dict[str, SiteReceipt]
    kl: float | None


class Dose(Part):
    """What calibration found."""

    factor: float | None
