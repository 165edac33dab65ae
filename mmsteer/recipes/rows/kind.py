"""Recipes on rows of one's own, before the model is loaded."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmsteer.document import Place
from mmsteer.errors import MmsteerError
from mmsteer.probes import TargetKind
from mmsteer.recipes.expand import Condition
from mmsteer.recipes.loading import place_of
from mmsteer.recipes.problems import Problem
from mmsteer.recipes.rows.data import labels_of, row_files, rows_of, samples_of, sampling_of
from mmsteer.recipes.rows.schema import LabelledRows, RewardedOutputs, Rows, RowsDirections, RowsRecipe
from mmsteer.recipes.rows.scorers import audio_scorers, text_scorers
from mmsteer.recipes.rows.task import RowsTask
from mmsteer.tasks import Labelled

SCHEMA: Any = RowsRecipe
ENTRY: Any = RowsDirections
SOURCE = "data"
OWN: Mapping[str, Any] = RowsTask.OWN
TARGET_KIND: TargetKind = "multiclass"
POOLS: tuple[str, ...] = ("mean", "last", "max")
CONTROLS: tuple[str, ...] = ("shuffled",)


def located(recipe: RowsRecipe, home: Path) -> RowsRecipe:
    """The recipe with whole paths; what lies beside the recipe goes first, then what lies here.

    Args:
        recipe: The recipe.
        home: The folder that it lies in.
    """
    return RowsRecipe.model_validate(_mapped(recipe, lambda path: str(place_of(path, home))))


def labels(entry: RowsDirections) -> tuple[str, ...]:
    """The classes of an entry's samples.

    Args:
        entry: The entry.
    """
    return labels_of(entry.data)


def check_entry(entry: RowsDirections) -> None:
    """Refuse a reward that there is not.

    Args:
        entry: The entry.
    """
    if isinstance(entry.data, RewardedOutputs):
        text_scorers({"reward": entry.data.reward})


def samples(entry: RowsDirections, adapter: Any, control: str | None = None, seed: int = 0) -> Labelled:
    """What an entry's directions are found in.

    Args:
        entry: The entry.
        adapter: The model.
        control: `shuffled` for the same samples with their labels shuffled.
        seed: Seed of the shuffle.
    """
    return samples_of(entry, adapter, seed if control else None)


def problems(recipe: RowsRecipe, conditions: Sequence[Condition]) -> list[Problem]:
    """What is wrong with rows and scorers.

    Args:
        recipe: The recipe.
        conditions: Its conditions.
    """
    found = [problem for place, data in _sources(recipe) for problem in _rows(place, data)]
    parse = audio_scorers if recipe.kind == "music" else text_scorers
    for name, measure in recipe.score.items():
        found += _complaint(("score", name), parse, {name: measure})
    both = _shared(recipe) if not found else []
    if both:
        message = f"{len(both)} rows, such as {both[0]}, are among the test's rows too; the test may choose nothing"
        found.append(Problem(("choose", "data"), message))
    return found


def metric_names(recipe: RowsRecipe, conditions: Sequence[Condition]) -> tuple[str, ...]:
    """The names of the scorers.

    Args:
        recipe: The recipe.
        conditions: Its conditions.
    """
    return tuple(recipe.score)


def identity(recipe: RowsRecipe) -> dict[str, Any]:
    """The recipe as plain data in which digests stand for the names of files.

    Args:
        recipe: The recipe.
    """
    found = _mapped(recipe, lambda path: "")
    found["content"] = [hashlib.sha256(path.read_bytes()).hexdigest() for path in _all_files(recipe)]
    return found


def files(recipe: RowsRecipe) -> tuple[Path, ...]:
    """The files of rows.

    Args:
        recipe: The recipe.
    """
    named = [Path(data.files) for _, data in _all_sources(recipe)]
    return tuple(dict.fromkeys(path for path in named if path.is_file()))


def task(recipe: RowsRecipe, adapter: Any, source: Rows) -> RowsTask:
    """Rows to be answered or played.

    Args:
        recipe: The recipe.
        adapter: The model.
        source: The recipe's own rows, or those that conditions are tried on.
    """
    how = recipe.generate
    return RowsTask(adapter, rows_of(source), recipe.score, sampling_of(how), how.batch, recipe.seed)


def _sources(recipe: RowsRecipe) -> list[tuple[Place, Rows]]:
    """What is generated from."""
    found: list[tuple[Place, Rows]] = [(("data",), recipe.data)]
    return found + ([(("choose", "data"), recipe.choose.data)] if recipe.choose else [])


def _all_sources(recipe: RowsRecipe) -> list[tuple[Place, Rows]]:
    """All rows: those that directions are found in, too."""
    found = _sources(recipe)
    for at, entry in enumerate(recipe.directions):
        if isinstance(entry, RowsDirections):
            place: Place = ("directions", at, "data")
            data = entry.data
            found.append((place, data if isinstance(data, LabelledRows) else data.prompts))
    return found


def _all_files(recipe: RowsRecipe) -> list[Path]:
    return [path for _, data in _all_sources(recipe) for path in row_files(data)]


def _rows(place: Place, data: Rows) -> list[Problem]:
    return _complaint(place, rows_of, data)


def _complaint(place: Place, check: Callable[[Any], Any], of: Any) -> list[Problem]:
    try:
        check(of)
    except MmsteerError as cause:
        return [Problem(place, str(cause))]
    return []


def _shared(recipe: RowsRecipe) -> list[str]:
    """Rows that are both chosen on and tested on."""
    if recipe.choose is None:
        return []
    tested = {row.source for row in rows_of(recipe.data)}
    return [row.place for row in rows_of(recipe.choose.data) if row.source in tested]


def _mapped(recipe: RowsRecipe, path: Callable[[str], str]) -> dict[str, Any]:
    """The recipe as plain data, with every path of rows replaced."""
    data = recipe.model_dump()
    parts = [data["data"], *([data["choose"]["data"]] if data["choose"] else [])]
    for entry in data["directions"]:
        parts += [part for part in (entry.get("data"), (entry.get("data") or {}).get("prompts")) if part]
    for part in parts:
        if "files" in part:
            part["files"] = path(part["files"])
    return data
