"""What is generated from and measured, whatever the source: rows, prompts, or images that are asked about."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmsteer.document import Place
from mmsteer.errors import MmsteerError
from mmsteer.eval.adherence import JUDGE
from mmsteer.recipes.environment import file_digest
from mmsteer.recipes.music import scoring as targets
from mmsteer.recipes.music.schema import WorldPrompts
from mmsteer.recipes.music.targets import TargetTask
from mmsteer.recipes.part import named_paths
from mmsteer.recipes.plan import Condition
from mmsteer.recipes.problems import Problem, complaints
from mmsteer.recipes.rows.data import rows_of, sampling_of
from mmsteer.recipes.rows.schema import Rows
from mmsteer.recipes.rows.scorers import audio_scorers, text_scorers
from mmsteer.recipes.rows.task import RowsTask
from mmsteer.recipes.rows.truth import check_truth
from mmsteer.recipes.schema import FoundDirections, Recipe
from mmsteer.recipes.vision import checks as vision
from mmsteer.recipes.vision.amber import files_of
from mmsteer.recipes.vision.pictures import pictures_of, scene_names
from mmsteer.recipes.vision.schema import AmberImages, CocoImages, FolderImages, SceneImages
from mmsteer.recipes.vision.scoring import metrics_of
from mmsteer.recipes.vision.task import AskTask
from mmsteer.tasks import Row
from mmsteer.types import Sampling

IMAGES = (SceneImages, CocoImages, FolderImages, AmberImages)
DRAWN = 50
"""Scenes or prompts of a world that a check draws, to see whether they can be asked; a run alone draws more."""


def misplaced(recipe: Recipe) -> list[Problem]:
    """Keys that a recipe of this source lacks, and those that say nothing in it."""
    asked = isinstance(recipe.data, IMAGES)
    where = "where images of a world or benchmark are asked about" if asked else "where rows or prompts go on"
    owed = ["ask", "batch"] if asked else ["generate"]
    idle = ["generate", "score", "evaluate"] if asked else ["ask", "batch"]
    found = [Problem((key,), "this key is missing") for key in owed if getattr(recipe, key) is None]
    found += [Problem((key,), f"no such key {where}") for key in idle if getattr(recipe, key)]
    if not asked and not recipe.score and not recipe.evaluate:
        found.append(Problem(("score",), "this key is missing; it, or evaluate, says what is measured"))
    foreign = ["target"] if asked else ["decode", "per_image"]
    for at, table in enumerate(recipe.conditions):
        found += [Problem(("conditions", at, key), f"no such key {where}") for key in foreign if getattr(table, key)]
    if recipe.choose and isinstance(recipe.choose.data, IMAGES) != asked:
        found.append(Problem(("choose", "data"), "the test and this are asked in different ways; take two of a kind"))
    return found


def problems(recipe: Recipe, conditions: Sequence[Condition]) -> list[Problem]:
    """What is wrong with sources, scorers, targets and what is asked."""
    found = [problem for place, data in _sources(recipe) for problem in _unreadable(recipe, place, data)]
    parse = audio_scorers if recipe.kind == "music" else text_scorers
    for name, measure in recipe.score.items():
        found += [Problem(("score", name), message) for message in complaints(parse, {name: measure})]
    if not found:
        found += [*_unscorable(recipe), *_shared(recipe)]
    return found + targets.problems(recipe.evaluate, conditions) + vision.problems(recipe, conditions)


def metric_names(recipe: Recipe, conditions: Sequence[Condition]) -> tuple[str, ...]:
    """The metrics that a run will give."""
    return (*recipe.score, *targets.metric_names(recipe.evaluate, conditions), *metrics_of(recipe))


def files(recipe: Recipe) -> tuple[Path, ...]:
    """The files of data that the recipe names, and those in the folders of AMBER."""
    inside = [file for _, one in _sources(recipe) if isinstance(one, AmberImages) for file in files_of(one.amber)]
    return tuple(dict.fromkeys(path for path in (*named_paths(recipe), *inside) if os.path.isfile(path)))


def content(recipe: Recipe) -> list[Any]:
    """Digests of what results depend on and the recipe only names; a fitted judge is part of it."""
    rows = [row for _, data in _sources(recipe) for row in _rows(recipe, data)]
    found = [row for data in _found_in(recipe) for row in rows_of(data)]
    named = dict.fromkeys(path for row in (*rows, *found) for path in row.files)
    judges = [JUDGE] if recipe.kind == "music" else []
    truth = [repr((row.id, sorted(row.objects or ()))) for row in rows if row.files]
    return [[file_digest(path) for path in (*files(recipe), *named, *judges)], truth]


def task(recipe: Recipe, adapter: Any, source: Any) -> RowsTask:
    """What the model is given of a source.

    `source`: the recipe's own, or the one that conditions are tried on.
    """
    how, ask, rows = recipe.generate, recipe.ask, _rows(recipe, source)
    if ask is None:
        assert how is not None
        given = (adapter, rows, recipe.score, sampling_of(how), how.batch, recipe.seed)
        return TargetTask(*given, recipe.evaluate) if recipe.evaluate else RowsTask(*given)
    assert recipe.batch is not None
    longest = Sampling((ask.caption or ask.pope).tokens)  # type: ignore[union-attr]
    return AskTask(adapter, rows, {}, longest, recipe.batch, recipe.seed, ask=ask, metrics=metrics_of(recipe))


def _rows(recipe: Recipe, source: Any) -> Sequence[Row]:
    return pictures_of(recipe, source) if isinstance(source, IMAGES) else rows_of(source)


def _sources(recipe: Recipe) -> list[tuple[Place, Any]]:
    """What is generated from."""
    found: list[tuple[Place, Any]] = [(("data",), recipe.data)]
    return found + ([(("choose", "data"), recipe.choose.data)] if recipe.choose else [])


def _found_in(recipe: Recipe) -> list[Rows]:
    """The rows that directions are found in."""
    found = [entry.data for entry in recipe.directions if isinstance(entry, FoundDirections)]
    named = [data if isinstance(data, Rows) else getattr(data, "prompts", None) for data in found]
    return [rows for rows in named if rows]


def _unreadable(recipe: Recipe, place: Place, source: Any) -> Iterator[Problem]:
    # Drawing takes seconds, and only of few scenes there may be nothing to ask.
    if isinstance(source, SceneImages) and source.scenes.n > DRAWN:
        return
    try:
        rows = _rows(recipe, _first(source))
    except MmsteerError as cause:
        yield Problem(place, str(cause))
        return
    if isinstance(source, IMAGES):
        yield from vision.unreadable(place, rows)


def _unscorable(recipe: Recipe) -> Iterator[Problem]:
    """Metrics that compare with what no row of the test has."""
    if isinstance(recipe.data, IMAGES):
        return
    rows, parse = rows_of(_first(recipe.data)), audio_scorers if recipe.kind == "music" else text_scorers
    for name, measure in recipe.score.items():
        (scorer,) = parse({name: measure})
        yield from (Problem(("score", name), message) for message in complaints(check_truth, measure, scorer, rows))


def _first(source: Any) -> Any:
    """The source with few enough prompts of a world to be drawn for a check; the first ones are the same."""
    if not isinstance(source, WorldPrompts) or source.world.n <= DRAWN:
        return source
    return source.model_copy(update={"world": source.world.model_copy(update={"n": DRAWN})})


def _shared(recipe: Recipe) -> list[Problem]:
    """Rows that are both chosen on and tested on; prompts of the recipe or the world may be the same, unlike seeds."""
    if recipe.choose is None or not isinstance(recipe.data, (Rows, *IMAGES)):
        return []
    tested = _known(recipe, recipe.data)
    both = [name for key, name in _known(recipe, recipe.choose.data).items() if key in tested]
    if not both:
        return []
    things = "rows" if isinstance(recipe.data, Rows) else "images"
    message = f"{len(both)} {things}, such as {both[0]}, are among the test's {things} too; the test may choose nothing"
    return [Problem(("choose", "data"), message)]


def _known(recipe: Recipe, source: Any) -> dict[Any, str]:
    """For what tells each row apart where it stands; scenes are not drawn for that."""
    if isinstance(source, SceneImages):
        return {name: name for name in scene_names(source.scenes)}
    rows = _rows(recipe, source)
    return {row.source if isinstance(source, Rows) else row.id: row.place for row in rows}
