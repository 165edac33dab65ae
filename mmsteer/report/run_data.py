"""The files of a run folder as typed values."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from mmsteer.direction_file import load_directions
from mmsteer.document import parse_document
from mmsteer.errors import RecipeError
from mmsteer.report.attribution_parts import Attributed
from mmsteer.report.output_parts import Example, MetricWords, Output
from mmsteer.report.parts import (
    Choice,
    Condition,
    Dose,
    Environment,
    ProbeTable,
    Receipt,
    Recipe,
    Rule,
    Scores,
    State,
    Times,
)
from mmsteer.report.trace_parts import ConditionTraces
from mmsteer.types import Direction

T = TypeVar("T")
EXAMPLES = "examples.json"
"""What a run was generated from."""
NEEDED = ("recipe.yaml", "environment.json", "conditions.json", "scores.json", EXAMPLES)
"""What a finished run has."""


@dataclass(frozen=True, eq=False)
class Validation:
    """Where conditions were tried before the test.

    `scores`: of all conditions; None before they are all tried.
    `planned`: how many there will be, 0 where that is not known yet.
    """

    rule: Rule
    scores: Scores | None
    choices: list[Choice]
    done: int
    planned: int


@dataclass(frozen=True, eq=False)
class Run:
    """All that a page is made of; what an unfinished run does not have yet is empty or None."""

    folder: Path
    state: State
    kind: str
    recipe: str
    about: str | None
    data: Any
    environment: Environment | None
    conditions: list[Condition]
    examples: list[Example]
    outputs: Mapping[tuple[str, int], Output]
    metrics: list[MetricWords]
    rule: Rule | None
    validation: Validation | None
    scores: Scores | None
    traces: dict[str, ConditionTraces]
    attributions: Mapping[str, Mapping[int, Attributed]]
    probes: list[ProbeTable]
    receipts: dict[str, Receipt]
    doses: dict[str, Dose]
    directions: Mapping[str, Direction]
    seconds: Mapping[str, float]

    @property
    def steered(self) -> list[Condition]:
        """The conditions that the recipe asks for."""
        return [one for one in self.conditions if one.kind == "steered"]

    @property
    def choices(self) -> list[Choice]:
        """What was chosen on other material; empty where the recipe chooses nothing."""
        return self.validation.choices if self.validation else []

    @property
    def goal(self) -> MetricWords | None:
        """Where metrics have words, what the recipe chooses by, or else its first metric, with the wanted direction."""
        wanted = self.rule.metric if self.rule else None
        found = next((one for one in self.metrics if wanted in (None, one.name)), None)
        if not found or not self.rule:
            return found
        return found.model_copy(update={"better": "higher" if self.rule.maximise else "lower"})


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        RecipeError: It is no run folder, a file is damaged, or a finished run lacks one.
        DirectionError: The directions' file is damaged.
    """
    if not os.path.isfile(folder / "run.json"):
        raise RecipeError(f"{folder} holds no run: it has no run.json; give the folder that `mmsteer run` printed")
    state = _json(folder / "run.json", State)
    text = _text(folder / "recipe.yaml")
    recipe = _recipe(folder / "recipe.yaml", text)
    missing = [name for name in NEEDED if not os.path.isfile(folder / name)]
    if state.finished and missing:
        raise RecipeError(f"{folder} is damaged: the run is finished, but {', '.join(missing)} is missing; {_AGAIN}")
    directions = folder / "directions.safetensors"
    return Run(
        folder=folder,
        state=state,
        kind=recipe.shape,
        recipe=text,
        about=recipe.about,
        data=recipe.data,
        environment=_optional(folder / "environment.json", Environment, None),
        conditions=_optional(folder / "conditions.json", list[Condition], []),
        examples=_optional(folder / EXAMPLES, list[Example], []),
        outputs=_lines(folder / "samples.jsonl"),
        metrics=_optional(folder / "metrics.json", list[MetricWords], []),
        rule=recipe.choose,
        validation=_validation(folder, recipe) if recipe.choose else None,
        scores=_optional(folder / "scores.json", Scores, None),
        traces=_optional(folder / "traces.json", dict[str, ConditionTraces], {}),
        attributions=_optional(folder / "attributions.json", dict[str, dict[int, Attributed]], {}),
        probes=_optional(folder / "probe.json", list[ProbeTable], []),
        receipts=_optional(folder / "receipts.json", dict[str, Receipt], {}),
        doses=_optional(folder / "doses.json", dict[str, Dose], {}),
        directions=load_directions(directions) if os.path.isfile(directions) else {},
        seconds=_optional(folder / "times.json", Times, Times()).seconds_to_fit,
    )


def _optional(path: Path, kind: Any, default: T) -> Any | T:
    return _json(path, kind) if os.path.isfile(path) else default


def _json(path: Path, kind: Any) -> Any:
    return _parsed(str(path), _bytes(path), TypeAdapter(kind))


def _parsed(place: str, data: bytes, kind: TypeAdapter[T]) -> T:
    try:
        return kind.validate_json(data)
    except ValidationError as cause:
        first = cause.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecipeError(f"{place} is damaged: {where + ': ' if where else ''}{first['msg']}; {_AGAIN}") from None


def _validation(folder: Path, recipe: Recipe) -> Validation:
    part = folder / "validation"
    conditions: list[Condition] = _optional(part / "conditions.json", list[Condition], [])
    items: list[Any] = _optional(part / EXAMPLES, list[Any], [])
    assert recipe.choose
    return Validation(
        rule=recipe.choose,
        scores=_optional(part / "scores.json", Scores, None),
        choices=_optional(folder / "choice.json", list[Choice], []),
        done=len(_whole_lines(part / "samples.jsonl")),
        planned=len(conditions) * len(items),
    )


def _lines(path: Path) -> dict[tuple[str, int], Output]:
    """The finished outputs, by condition and example."""
    parser = TypeAdapter(Output)
    found = [_parsed(f"{path}:{number}", line, parser) for number, line in enumerate(_whole_lines(path), start=1)]
    return {(one.condition, one.example): one for one in found}


def _whole_lines(path: Path) -> list[bytes]:
    """The lines of a log; a last one without an end is still being written, or a crash cut it."""
    return _bytes(path).split(b"\n")[:-1] if os.path.isfile(path) else []


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as cause:
        raise RecipeError(f"{path} cannot be read: {cause.strerror}") from None


def _text(path: Path) -> str:
    return _bytes(path).decode(errors="replace") if os.path.isfile(path) else ""


def _recipe(path: Path, text: str) -> Recipe:
    try:
        content = parse_document(text, str(path)).data if text else {}
    except RecipeError as cause:
        raise RecipeError(f"{path} is damaged: {cause}; {_AGAIN}") from None
    return _parsed(str(path), json.dumps(content).encode(), TypeAdapter(Recipe))


_AGAIN = "restore the file, or run the recipe again with another --out"
