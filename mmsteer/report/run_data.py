"""The files of a run folder as typed values."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from mmsteer.direction_file import load_directions
from mmsteer.errors import RecipeError
from mmsteer.report.parts import (
    Condition,
    ConditionTraces,
    Dose,
    Environment,
    ProbeTable,
    Prompt,
    Receipt,
    Sample,
    Scores,
    State,
)
from mmsteer.types import Direction

T = TypeVar("T")
NEEDED = ("recipe.yaml", "environment.json", "conditions.json", "prompts.json", "scores.json")
"""What a finished run has."""


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
