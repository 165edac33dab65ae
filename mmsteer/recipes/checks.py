"""Everything about a recipe that can be checked without a model, all at once."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError

from mmsteer.bundled.dictionary import BUNDLED
from mmsteer.document import Document, Mark, Place, read_document
from mmsteer.errors import DataError, DirectionError, MmsteerError, RecipeError
from mmsteer.formats import load_directions
from mmsteer.latents.pooling import POOLS
from mmsteer.library import library
from mmsteer.pretrained import HUB_NAME
from mmsteer.recipes.attributing import units as attributing
from mmsteer.recipes.contrasts import CONTROLS, check_data, labels_of, pools_of
from mmsteer.recipes.dictionaries import located as located_dictionary
from mmsteer.recipes.expand import expand
from mmsteer.recipes.forms import metric_names, misplaced
from mmsteer.recipes.forms import problems as source_problems
from mmsteer.recipes.loading import did_you_mean, find_recipe, load_document, missing_beside, place_of
from mmsteer.recipes.part import mapped, named_paths
from mmsteer.recipes.plan import Condition
from mmsteer.recipes.problems import Problem, refusal, schema_problems
from mmsteer.recipes.schema import FileDirections, FoundDirections, Model, Probe, Recipe, SaeProbe
from mmsteer.steering import parse_attribute
from mmsteer.types import Direction, Positions, Site, SiteStats

PROBES: TypeAdapter[Probe] = TypeAdapter(Probe, config=ConfigDict(extra="forbid", strict=True))
Files = Mapping[str, Mapping[str, Direction]]


@dataclass(frozen=True)
class CheckedRecipe:
    """A recipe that describes an experiment.

    Attributes:
        recipe: What it says, with everything that it names put in.
        conditions: What is steered, every combination of every sweep.
        files: The directions of each file that it names.
    """

    recipe: Recipe
    conditions: tuple[Condition, ...]
    files: Files


def check_recipe(name: str | Path, overrides: Sequence[str] = ()) -> CheckedRecipe:
    """Read a recipe and check all that can be checked without a model.

    Args:
        name: A file, or the name of a recipe that comes with mmsteer.
        overrides: Lines `a.b.c=value`.

    Raises:
        RecipeError: Something is wrong; the message has a line for each problem.
    """
    document = load_document(name, overrides)
    home = find_recipe(name).parent
    recipe = _validated(document)
    recipe = recipe.model_copy(update={"model": _located_model(recipe.model, home)})
    missing = _missing(recipe, home)
    located = mapped(recipe, lambda path: str(place_of(path, home)))
    recipe, files, problems = _resolved(located, home)
    problems += _model(recipe.model)
    conditions, more = expand(recipe.conditions)
    names, unknown = _names(recipe, files)
    problems += more + unknown + source_problems(recipe, conditions)
    for at, table in enumerate(recipe.conditions):
        mine = [one for one in conditions if one.place == ("conditions", at)]
        problems += _steering(mine, names if not unknown else {}, len(table.steer))
    problems += _controls(recipe) + _choose(recipe, conditions) + list(attributing.problems(recipe, conditions))
    if problems:
        raise RecipeError(refusal(document, [_with_both_places(one, missing) for one in problems]))
    return CheckedRecipe(recipe, conditions, files)


def found_directions(kind: str, data: Mapping[str, Any]) -> FoundDirections:
    """One entry of a recipe's directions, given as plain data.

    Args:
        kind: Kind of recipe, whose probes are meant.
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
    check_reading(entry)
    check_data(entry.data)
    return entry.model_copy(update={"probe": read_probe(kind, str(entry.probe))})


def _validated(document: Document) -> Recipe:
    try:
        # As JSON: there a list is the only way to write a tuple, so strictness does not mind it.
        recipe = Recipe.model_validate_json(json.dumps(document.data))
    except ValidationError as error:
        raise RecipeError(refusal(document, schema_problems(Recipe, document.data, error))) from None
    if problems := misplaced(recipe):
        raise RecipeError(refusal(document, problems))
    return recipe


def _resolved(recipe: Recipe, home: Path) -> tuple[Recipe, Files, list[Problem]]:
    """The recipe with the content of the probes and the paths of the files that it names."""
    entries: list[Any] = []
    files: dict[str, Mapping[str, Direction]] = {}
    problems: list[Problem] = []
    for at, entry in enumerate(recipe.directions):
        try:
            if isinstance(entry, FileDirections):
                path = _direction_file(entry.file, home)
                files[str(path)] = load_directions(path, compatibility=entry.compatibility)
                entry = entry.model_copy(update={"file": str(path)})
            elif isinstance(entry.probe, str):
                entry = entry.model_copy(update={"probe": read_probe(recipe.kind, entry.probe)})
            if isinstance(entry, FoundDirections):
                check_reading(entry)
                check_data(entry.data)
                if isinstance(entry.probe, SaeProbe):
                    entry = entry.model_copy(update={"probe": located_dictionary(entry.probe, home)})
        except MmsteerError as cause:
            problems.append(Problem(("directions", at), str(cause)))
        entries.append(entry)
    return recipe.model_copy(update={"directions": tuple(entries)}), files, problems


def _missing(recipe: Recipe, home: Path) -> Mapping[Path, Path]:
    """For each file that is neither beside the recipe nor here: where it would be here, and beside the recipe."""
    named = {place_of(str(path), home): missing_beside(str(path), home) for path in named_paths(recipe)}
    return {here: beside for here, beside in named.items() if beside}


def _with_both_places(problem: Problem, missing: Mapping[Path, Path]) -> Problem:
    """A problem with a missing file, with the other place where it was looked for."""
    beside = next((one for here, one in missing.items() if problem.message.startswith(f"{here}:")), None)
    if beside is None:
        return problem
    return Problem(problem.place, f"{problem.message}; beside the recipe there is no {beside} either")


def _located_model(model: Model, home: Path) -> Model:
    """The model with the whole path of its folder, where it is one."""
    place = place_of(model.load, home)
    return model.model_copy(update={"load": str(place)}) if os.path.isdir(place) else model


def _model(model: Model) -> list[Problem]:
    """A model that is neither a folder nor a name that could be found elsewhere."""
    named = model.load.startswith(BUNDLED) or HUB_NAME.fullmatch(model.load)
    if named or os.path.isdir(model.load):
        return []
    message = (
        f"no folder {model.load!r} beside the recipe or here; give one, a name on the Hugging Face hub or a bundled "
        "model"
    )
    return [Problem(("model", "load"), message)]


def check_reading(entry: FoundDirections) -> None:
    """Refuse positions and pools that cannot be read.

    Args:
        entry: What is read, and the probe's settings.

    Raises:
        RecipeError: There is no such pool, or features should be orthogonal to something.
    """
    Positions(entry.positions)
    if isinstance(entry.probe, SaeProbe) and entry.pool not in POOLS:
        raise RecipeError(f"activations of features are pooled by {', '.join(POOLS)}, not {entry.pool!r}")
    pools = pools_of(entry.data)
    if entry.pool not in pools:
        raise RecipeError(f"pool is one of {', '.join(pools)} for a probe, not {entry.pool!r}")
    if isinstance(entry.probe, SaeProbe) and entry.without:
        raise RecipeError("features are rows of their dictionary, orthogonal to nothing; leave `without` to a probe")


def _direction_file(name: str, home: Path) -> Path:
    """A file beside the recipe or here, or one of those that come with mmsteer.

    Raises:
        DirectionError: There is none.
    """
    for path in (place_of(name, home), library("probes") / name):
        if os.path.isfile(path):
            return path.resolve()
    raise DirectionError(f"no file {name!r} beside the recipe ({home / name}), here or in {library('probes')}")


def read_probe(kind: str, name: str, seed: int | None = None) -> Probe:
    """The content of one of the files of probe settings.

    Args:
        kind: Kind of recipe, whose own folder goes before the settings that serve all kinds; or `text`.
        name: Name of the file without its ending.
        seed: Of the probe; None for the file's.

    Raises:
        RecipeError: There is no such file, or it does not describe a probe.
    """
    folders = (library("probes"), library("probes") / kind)
    shipped = {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}
    if name not in shipped:
        raise RecipeError(
            f"no probe {name!r}{did_you_mean(name, shipped)} (choose from {', '.join(shipped)}, or write its settings)"
        )
    data = read_document(shipped[name]).data | ({} if seed is None else {"seed": seed})
    try:
        return PROBES.validate_json(json.dumps(data))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise RecipeError(f"{shipped[name]}: {'; '.join(lines)}") from None


def _names(recipe: Recipe, files: Files) -> tuple[dict[str, Direction], list[Problem]]:
    """Every direction that a line may name, with stand-ins for those that are still to be found."""
    names: dict[str, Direction] = {}
    problems: list[Problem] = []
    for at, entry in enumerate(recipe.directions):
        place: Place = ("directions", at)
        problems += _without(recipe.directions, at, names)
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


def _without(entries: Sequence[Any], at: int, names: Mapping[str, Direction]) -> list[Problem]:
    """Families that an entry cannot leave out of its own directions."""
    families = {name.partition(":")[0] for name in names}
    deep = {one.family for one in entries[:at] if isinstance(one, FoundDirections) and one.pool == "tokens"}
    problems = []
    for number, family in enumerate(getattr(entries[at], "without", ())):
        place: Place = ("directions", at, "without", number)
        if family not in families:
            above = ", ".join(sorted(families)) or "none"
            hint = did_you_mean(family, families)
            problems.append(Problem(place, f"no family {family!r} above this one{hint} (above are: {above})"))
        elif family in deep:
            problems.append(Problem(place, f"{family!r} has a direction at each token; pool it, such as by mean"))
    return problems


def _stand_ins(entry: FoundDirections) -> dict[str, Direction]:
    site = Site("decoder", 0)
    names = [f"{entry.family}:{label}" for label in labels_of(entry.data)]
    stats = {site: SiteStats(1.0, 0.0, 1.0, 1.0)}
    return {name: Direction(name, {site: torch.ones(1)}, stats, "") for name in names}


def _steering(conditions: Sequence[Condition], names: Mapping[str, Direction], lines: int) -> list[Problem]:
    """The first thing wrong with each steering line; a sweep repeats it for every value."""
    problems: dict[int, Problem] = {}
    for condition in conditions if names else ():
        for at, line in enumerate(condition.lines):
            # Where one text holds several lines, the problem stands at all of them.
            place: Place = (
                (*condition.place, "steer", at) if len(condition.lines) == lines else (*condition.place, "steer")
            )
            try:
                parse_attribute(line, names)
            except MmsteerError as cause:
                problems.setdefault(at, Problem(place, str(cause)))
    return list(problems.values())


def _controls(recipe: Recipe) -> list[Problem]:
    problems = []
    for at, table in enumerate(recipe.conditions):
        if table.calibrate and not recipe.controls.unsteered:
            place: Place = ("conditions", at, "calibrate")
            problems.append(Problem(place, "this is measured along unsteered outputs; set controls.unsteered: true"))
    if recipe.controls.wrong_image and recipe.kind != "image":
        problems.append(Problem(("controls", "wrong_image"), "this exchanges images, which kind: image alone has"))
    if recipe.controls.searched and recipe.choose is None:
        problems.append(Problem(("controls", "searched"), "these are chosen as conditions are; say how by choose"))
    read = [entry for entry in recipe.directions if isinstance(entry, FileDirections)]
    for control in CONTROLS:
        if getattr(recipe.controls, control) and read:
            message = f"this is fitted on the data of a direction, and {read[0].file} brings none; find it in the run"
            problems.append(Problem(("controls", control), message))
    return problems


def _choose(recipe: Recipe, conditions: Sequence[Condition]) -> list[Problem]:
    """Metrics that no run of this recipe gives."""
    if recipe.choose is None:
        return []
    known = metric_names(recipe, conditions)
    goal = "maximise" if recipe.choose.maximise else "minimise"
    asked: list[tuple[Place, str]] = [(("choose", goal), getattr(recipe.choose, goal))]
    asked += [(("choose", "bounds", metric), metric) for metric in recipe.choose.bounds]
    return [
        Problem(place, f"no metric {metric!r}{did_you_mean(metric, known)} (this recipe gives {', '.join(known)})")
        for place, metric in asked
        if metric not in known
    ]
