"""The files of a run folder as typed values."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError

from mmsteer.direction_file import load_directions
from mmsteer.errors import RecipeError
from mmsteer.types import Direction

T = TypeVar("T")
NEEDED = ("recipe.yaml", "environment.json", "conditions.json", "prompts.json", "scores.json")
"""What a finished run has."""


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


@dataclass(frozen=True, eq=False)
class Run:
    """All that a page is made of; what an unfinished run does not have yet is empty or None."""

    folder: Path
    state: State
    recipe: str
    about: str | None
    environment: Environment | None
    conditions: list[Condition]
    prompts: list[Prompt]
    samples: Mapping[tuple[str, int], Sample]
    scores: Scores | None
    traces: dict[str, ConditionTraces]
    probes: list[ProbeTable]
    receipts: dict[str, Receipt]
    doses: dict[str, Dose]
    directions: Mapping[str, Direction]

    @property
    def steered(self) -> list[Condition]:
        """The conditions that the recipe asks for."""
        return [one for one in self.conditions if one.kind == "steered"]


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Args:
        folder: The folder.

    Raises:
        RecipeError: It is no run folder, a file is damaged, or a finished run lacks one.
        DirectionError: The directions' file is damaged.
    """
    if not (folder / "run.json").is_file():
        raise RecipeError(f"{folder} holds no run: it has no run.json; give the folder that `mmsteer run` printed")
    state = _json(folder / "run.json", State)
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if state.finished and missing:
        raise RecipeError(f"{folder} is damaged: the run is finished, but {', '.join(missing)} is missing; {_AGAIN}")
    directions = folder / "directions.safetensors"
    recipe = _text(folder / "recipe.yaml")
    return Run(
        folder=folder,
        state=state,
        recipe=recipe,
        about=_about(folder / "recipe.yaml", recipe),
        environment=_optional(folder / "environment.json", Environment, None),
        conditions=_optional(folder / "conditions.json", list[Condition], []),
        prompts=_optional(folder / "prompts.json", list[Prompt], []),
        samples=_samples(folder / "samples.jsonl"),
        scores=_optional(folder / "scores.json", Scores, None),
        traces=_optional(folder / "traces.json", dict[str, ConditionTraces], {}),
        probes=_optional(folder / "probe.json", list[ProbeTable], []),
        receipts=_optional(folder / "receipts.json", dict[str, Receipt], {}),
        doses=_optional(folder / "doses.json", dict[str, Dose], {}),
        directions=load_directions(directions) if directions.is_file() else {},
    )


def _optional(path: Path, kind: Any, default: T) -> Any | T:
    return _json(path, kind) if path.is_file() else default


def _json(path: Path, kind: Any) -> Any:
    return _parsed(str(path), _bytes(path), TypeAdapter(kind))


def _parsed(place: str, data: bytes, kind: TypeAdapter[T]) -> T:
    try:
        return kind.validate_json(data)
    except ValidationError as cause:
        first = cause.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecipeError(f"{place} is damaged: {where + ': ' if where else ''}{first['msg']}; {_AGAIN}") from None


def _samples(path: Path) -> dict[tuple[str, int], Sample]:
    """The finished clips; a last line without an end is still being written, or a crash cut it."""
    if not path.is_file():
        return {}
    *lines, _ = _bytes(path).split(b"\n")
    kind = TypeAdapter(Sample)
    samples = [_parsed(f"{path}:{number}", line, kind) for number, line in enumerate(lines, start=1)]
    return {(one.condition, one.prompt): one for one in samples}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as cause:
        raise RecipeError(f"{path} cannot be read: {cause.strerror}") from None


def _text(path: Path) -> str:
    return _bytes(path).decode(errors="replace") if path.is_file() else ""


def _about(path: Path, recipe: str) -> str | None:
    try:
        content = yaml.safe_load(recipe)
    except yaml.YAMLError:
        raise RecipeError(f"{path} is damaged: it is no YAML; {_AGAIN}") from None
    about = content.get("about") if isinstance(content, dict) else None
    return None if about is None else str(about)


_AGAIN = "restore the file, or run the recipe again with another --out"
