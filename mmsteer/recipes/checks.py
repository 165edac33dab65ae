"""Everything about a recipe that can be checked without a model, all at once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from mmsteer.direction_file import load_directions
from mmsteer.errors import DataError, DirectionError, MmsteerError, RecipeError
from mmsteer.library import library
from mmsteer.recipes.data import labels_of, prompts_of
from mmsteer.recipes.document import Document, Mark, Place, read_document
from mmsteer.recipes.expand import Condition, expand
from mmsteer.recipes.judging import ADHERENCE, EVALUATORS, TARGETS, needed
from mmsteer.recipes.loading import did_you_mean, find_recipe, load_document
from mmsteer.recipes.problems import Problem, refusal, schema_problems
from mmsteer.recipes.schema import (
    KINDS,
    Directions,
    FileDirections,
    FoundDirections,
    MusicRecipe,
    Probe,
    SynTheoryData,
)
from mmsteer.steering import Steering, parse_attribute
from mmsteer.types import Direction, Positions, Site, SiteStats

PROBES: TypeAdapter[Probe] = TypeAdapter(Probe)
READABLE = ("mean", "last", "max")


@dataclass(frozen=True)
class CheckedRecipe:
    """A recipe that describes an experiment.

    Attributes:
        recipe: What it says, with everything that it names put in.
        conditions: What is steered, every combination of every sweep.
        files: The directions of each file that it names.
    """

    recipe: MusicRecipe
    conditions: tuple[Condition, ...]
    files: Mapping[str, Mapping[str, Direction]]


def check_recipe(name: str | Path, overrides: Sequence[str] = ()) -> CheckedRecipe:
    """Read a recipe and check all that can be checked without a model.

    Args:
        name: A file, or the name of a recipe that comes with mmsteer.
        overrides: Lines `a.b.c=value`.

    Raises:
        RecipeError: Something is wrong; the message has a line for each problem.
    """
    document = load_document(name, overrides)
    recipe = _validated(document)
    recipe, files, problems = _resolved(recipe, find_recipe(name).parent)
    conditions, more = expand(recipe.conditions)
    names, unknown = _names(recipe, files)
    problems += more + unknown + _prompts(recipe) + _evaluate(recipe)
    for at, condition in enumerate(recipe.conditions):
        mine = [one for one in conditions if one.place == ("conditions", at)]
        if condition.calibrate and not recipe.controls.unsteered:
            where: Place = ("conditions", at, "calibrate")
            problems.append(Problem(where, "this is measured along unsteered clips; set controls.unsteered: true"))
        problems += _steering(mine, names if not unknown else {}, len(condition.steer)) + _targets(recipe, mine)
    if problems:
        raise RecipeError(refusal(document, problems))
    return CheckedRecipe(recipe, conditions, files)


def steering_of(condition: Condition, directions: Mapping[str, Direction]) -> Steering:
    """The steering of a condition.

    Args:
        condition: What is steered.
        directions: What its lines name.
    """
    attributes = tuple(parse_attribute(line, directions) for line in condition.lines)
    return Steering(attributes, condition.compose, condition.budget)


def found_directions(data: Mapping[str, Any]) -> FoundDirections:
    """One entry of a recipe's directions, given as plain data.

    Args:
        data: The keys of the entry; the probe by its name.

    Raises:
        RecipeError: Something is wrong with it.
    """
    document = Document(dict(data), {(): Mark("options")})
    try:
        entry = FoundDirections.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise RecipeError(refusal(document, schema_problems(FoundDirections, document.data, error))) from None
    labels_of(entry.data)
    _check_reading(entry)
    return entry.model_copy(update={"probe": read_probe("music", str(entry.probe))})


def _validated(document: Document) -> MusicRecipe:
    kind = document.data.get("kind")
    if kind not in KINDS:
        problem = Problem(("kind",), f"a recipe has one of the kinds {', '.join(KINDS)}, such as 'kind: music'")
        raise RecipeError(refusal(document, [problem]))
    try:
        # As JSON: there a list is the only way to write a tuple, so strictness does not mind it.
        return KINDS[kind].model_validate_json(json.dumps(document.data))
    except ValidationError as error:
        raise RecipeError(refusal(document, schema_problems(KINDS[kind], document.data, error))) from None


def _resolved(
    recipe: MusicRecipe, home: Path
) -> tuple[MusicRecipe, Mapping[str, Mapping[str, Direction]], list[Problem]]:
    """The recipe with the content of the probes and the paths of the files that it names."""
    entries: list[Directions] = []
    files: dict[str, Mapping[str, Direction]] = {}
    problems: list[Problem] = []
    for at, entry in enumerate(recipe.directions):
        try:
            if isinstance(entry, FileDirections):
                path = _direction_file(entry.file, home)
                files[str(path)] = load_directions(path)
                entry = FileDirections(file=str(path))
            elif isinstance(entry.probe, str):
                entry = entry.model_copy(update={"probe": read_probe(recipe.kind, entry.probe)})
            if isinstance(entry, FoundDirections):
                _check_reading(entry)
        except MmsteerError as cause:
            problems.append(Problem(("directions", at), str(cause)))
        entries.append(entry)
    return recipe.model_copy(update={"directions": tuple(entries)}), files, problems


def _check_reading(entry: FoundDirections) -> None:
    Positions(entry.positions)
    if entry.pool not in READABLE:
        raise RecipeError(
            f"a probe reads one state a clip, so pool is one of {', '.join(READABLE)}, not {entry.pool!r}"
        )
    if isinstance(entry.data, SynTheoryData) and entry.text == "prompt":
        raise RecipeError("SynTheory's clips have no prompts; write text: none")


def _direction_file(name: str, home: Path) -> Path:
    """A file beside the recipe, or one of those that come with mmsteer.

    Raises:
        DirectionError: There is none.
    """
    places = [home / name, library("probes") / name]
    for path in places:
        if path.is_file():
            return path.resolve()
    raise DirectionError(f"no file {name!r} beside the recipe ({places[0]}) or in {library('probes')}")


def read_probe(kind: str, name: str) -> Probe:
    """The content of one of the files of probe settings.

    Args:
        kind: Kind of recipe.
        name: Name of the file without its ending.

    Raises:
        RecipeError: There is no such file, or it does not describe a probe.
    """
    shipped = {file.stem: file for file in sorted((library("probes") / kind).glob("*.yaml"))}
    if name not in shipped:
        raise RecipeError(
            f"no probe {name!r}{did_you_mean(name, shipped)} (choose from {', '.join(shipped)}, or write its settings)"
        )
    document = read_document(shipped[name])
    try:
        return PROBES.validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise RecipeError(f"{shipped[name]}: {'; '.join(lines)}") from None


def _names(
    recipe: MusicRecipe, files: Mapping[str, Mapping[str, Direction]]
) -> tuple[dict[str, Direction], list[Problem]]:
    """Every direction that a line may name, with stand-ins for those that are still to be found."""
    names: dict[str, Direction] = {}
    problems: list[Problem] = []
    for at, entry in enumerate(recipe.directions):
        place: Place = ("directions", at)
        try:
            found = _stand_ins(entry) if isinstance(entry, FoundDirections) else files.get(entry.file, {})
        except DataError as cause:
            problems.append(Problem((*place, "data"), str(cause)))
            continue
        twice = sorted(names.keys() & found)
        if twice:
            problems.append(Problem(place, f"{twice[0]!r} is already among the directions; give another family name"))
        names |= found
    return names, problems


def _stand_ins(entry: FoundDirections) -> dict[str, Direction]:
    site = Site("decoder", 0)
    names = [f"{entry.family}:{label}" for label in labels_of(entry.data)]
    stats = {site: SiteStats(1.0, 0.0, 1.0, 1.0)}
    return {name: Direction(name, {site: torch.ones(1)}, stats, "") for name in names}


def _prompts(recipe: MusicRecipe) -> list[Problem]:
    try:
        prompts_of(recipe.prompts, recipe.seed)
    except DataError as cause:
        return [Problem(("prompts",), str(cause))]
    return []


def _evaluate(recipe: MusicRecipe) -> list[Problem]:
    known = [*EVALUATORS, ADHERENCE]
    return [
        Problem(("evaluate", at), f"no evaluator {name!r}{did_you_mean(name, known)} (choose from {', '.join(known)})")
        for at, name in enumerate(recipe.evaluate)
        if name not in known
    ]


def _steering(conditions: Sequence[Condition], names: Mapping[str, Direction], lines: int) -> list[Problem]:
    """The first thing wrong with each steering line; a sweep repeats it for every value."""
    problems: dict[int, Problem] = {}
    for condition in conditions if names else ():
        for at in range(lines):
            try:
                parse_attribute(condition.lines[at], names)
            except MmsteerError as cause:
                problems.setdefault(at, Problem((*condition.place, "steer", at), str(cause)))
    return list(problems.values())


def _targets(recipe: MusicRecipe, conditions: Sequence[Condition]) -> list[Problem]:
    problems: dict[Any, Problem] = {}
    for condition in conditions:
        for attribute, label in condition.target.items():
            message = _target_problem(recipe, attribute, label)
            if message:
                problems.setdefault(attribute, Problem((*condition.place, "target", attribute), message))
    return list(problems.values())


def _target_problem(recipe: MusicRecipe, attribute: str, label: str) -> str | None:
    if attribute not in TARGETS:
        return f"no attribute {attribute!r}{did_you_mean(attribute, TARGETS)} (choose from {', '.join(TARGETS)})"
    target = TARGETS[attribute]
    if label not in target.labels:
        return f"no {attribute} {label!r}{did_you_mean(label, target.labels)} (choose from {', '.join(target.labels)})"
    if target.evaluator not in needed(recipe.evaluate):
        return f"nobody listens for it; add {target.evaluator} to evaluate"
    return None
