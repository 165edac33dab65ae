"""What the files of a run folder hold, as far as a page shows it."""

from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict


class Part(BaseModel):
    """A mapping of a file; keys that no page shows may be there as well."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


def inside(folder: str) -> AfterValidator:
    """Refuse what would lead a browser out of a folder of the run."""

    def check(path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or parts[0] != folder or ".." in parts:
            raise ValueError(f"{path[:80]!r} does not lie in the folder {folder}")
        return path

    return AfterValidator(check)


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
    files: dict[str, str] = {}


class Condition(Part):
    """What was done to the model, on every prompt or picture."""

    name: str
    kind: str
    values: dict[str, Any]
    steering: list[str]
    target: dict[str, str] = {}
    decode: dict[str, dict[str, Any]] = {}
    controls: list[str]

    @property
    def applied(self) -> list[str]:
        """What was steered, or how captions were made instead."""
        return [*self.steering, *(_decoding(name, options) for name, options in self.decode.items())]


def _decoding(name: str, options: dict[str, Any]) -> str:
    if name == "verify":
        where = "" if options["image"] == "own" else " of the next image"
        return f"asked about each object named{where}: without those with log-odds of yes under {options['least']:g}"
    given = [f"{key} {value}" for key, value in options.items() if value is not None]
    return ", ".join([f"decode against {name}", *given])


class Interval(Part):
    """A mean with its interval."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    unscored: int

    @property
    def above(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low is not None and self.low > 0

    @property
    def below(self) -> bool:
        """Whether the whole interval lies below zero."""
        return self.high is not None and self.high < 0


class Metric(Part):
    """A score beside its controls. Differences are paired: to the unsteered run, or `against` a control.

    For each kind of control there are three more scores, such as `random`, `random_difference` and `against_random`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Interval | None]

    steered: Interval
    unsteered: Interval | None
    difference: Interval | None
    chance: float | None

    @property
    def controls(self) -> dict[str, Interval]:
        """The score of each kind of control that there is, but for the unsteered run."""
        return self._of_controls("{}")

    @property
    def changes(self) -> dict[str, Interval]:
        """For each kind of control its difference to the unsteered run."""
        return self._of_controls("{}_difference")

    @property
    def against(self) -> dict[str, Interval]:
        """For each kind of control the difference of the steered run to it."""
        return self._of_controls("against_{}")

    def _of_controls(self, form: str) -> dict[str, Interval]:
        extra = self.__pydantic_extra__
        kinds = [name.removesuffix("_difference") for name in extra if name.endswith("_difference")]
        return {kind: score for kind in kinds if (score := extra.get(form.format(kind)))}


class Row(Part):
    """The scores of a condition, or of several that differ in their target alone.

    Flips are counts for each split of POPE: how many answers went from one outcome to another, such as `tp->fn`.
    """

    condition: str
    conditions: list[str]
    values: dict[str, Any]
    kl: float | None
    ratio: float | None
    metrics: dict[str, Metric]
    flips: dict[str, dict[str, int]] = {}

    @property
    def hits(self) -> dict[str, Metric]:
        """How often each target is reached."""
        return {name: metric for name, metric in self.metrics.items() if name.endswith(".hit")}


class Scores(Part):
    """All scores."""

    rows: list[Row]
    summaries: list[Row]

    def of(self, condition: str) -> Row | None:
        """The scores of a condition by itself."""
        return next((row for row in self.rows if row.condition == condition), None)

    @property
    def main(self) -> list[Row]:
        """The summaries, and the rows that none of them pools, in the order of the conditions."""
        pooled = {name for row in self.summaries for name in row.conditions}
        order = {row.condition: place for place, row in enumerate(self.rows)}
        alone = [row for row in self.rows if row.condition not in pooled]
        return sorted([*self.summaries, *alone], key=lambda row: order.get(row.conditions[0], 0))


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


class Times(Part):
    """How long things took, in seconds; for each family its fit."""

    seconds_to_fit: dict[str, float] = {}


class SiteReceipt(Part):
    """What was measured at a site."""

    ratio: float
    peak: float


class GateReceipt(Part):
    """What gates let through at a site."""

    asked: int
    passed: int


class Total(Part):
    """What the pushes of an attribute add up to."""

    attribute: str
    sites: int
    last: str
    ratio: float


class Receipt(Part):
    """What was applied in a condition; runs of earlier versions state neither quantiles nor gates."""

    attributes: list[str]
    calls: int
    rows: int
    steps: int
    tokens: int
    ratio: float | None
    low: float | None = None
    median: float | None = None
    high: float | None = None
    sampled: bool = False
    sites: dict[str, SiteReceipt]
    gates: dict[str, GateReceipt] = {}
    totals: list[Total] = []
    warnings: list[str] = []
    kl: float | None


class Dose(Part):
    """What calibration found."""

    factor: float | None


class Bound(Part):
    """What a metric may change by, against the unsteered run."""

    at_least: float | None = None
    at_most: float | None = None

    def allows(self, change: float | None) -> bool:
        """Whether a change stays within; one that could not be measured does not."""
        if change is None:
            return self.at_least is None and self.at_most is None
        return (self.at_least is None or change >= self.at_least) and (self.at_most is None or change <= self.at_most)


class Rule(Part):
    """How a recipe chooses which conditions go on to the test."""

    of: Literal["all", "each"]
    maximise: str | None = None
    minimise: str | None = None
    bounds: dict[str, Bound] = {}

    @property
    def metric(self) -> str:
        """What decides."""
        return self.maximise or self.minimise or ""


class Choice(Part):
    """A condition that was chosen."""

    condition: str
    goal: str
    within_bounds: bool
    broken: list[str]
    tried: int
    allowed: int


class Recipe(Part):
    """What a page needs of a recipe."""

    kind: Literal["text", "image", "music"] = "music"
    about: str | None = None
    choose: Rule | None = None
    data: Any = None
    ask: Any = None
    evaluate: list[str] = []

    @property
    def shape(self) -> str:
        """What its page shows: images with what was said of them, clips with what was read of them, or rows."""
        return "vision" if self.ask is not None else "music" if self.evaluate else "rows"
