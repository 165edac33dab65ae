"""A checked recipe and its model: everything that can fail before any compute has failed here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmsteer.bundled.progress_bars import without_progress_bars
from mmsteer.errors import DirectionError, RecipeError
from mmsteer.recipes import forms
from mmsteer.recipes.attributing.units import check_condition, check_units
from mmsteer.recipes.checks import CheckedRecipe, check_recipe
from mmsteer.recipes.contrasts import check_model, labels_of
from mmsteer.recipes.dictionaries import dictionary_digest, dictionary_of, readable
from mmsteer.recipes.environment import file_digest, run_id
from mmsteer.recipes.finding import left_out
from mmsteer.recipes.model_workers import check_same, enter, load_named
from mmsteer.recipes.part import mapped
from mmsteer.recipes.plan import Condition
from mmsteer.recipes.problems import complaints
from mmsteer.recipes.schema import FileDirections, FoundDirections, Recipe, SaeProbe
from mmsteer.recipes.task import Task
from mmsteer.types import Direction, Feature, Site, SiteStats, select_sites
from mmsteer.workers import Held

TEST, VALIDATION = "test", "validation"
"""Names of the tasks of a run."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """All that a run needs.

    Attributes:
        checked: The recipe.
        task: What is reported.
        validation: What conditions are tried on first; None where the recipe chooses nothing.
        id: What the run depends on, as a short hash: recipe, model, direction files, code.
    """

    checked: CheckedRecipe
    task: Task
    validation: Task | None
    id: str

    @property
    def recipe(self) -> Recipe:
        """What the recipe says."""
        return self.checked.recipe

    @property
    def adapter(self) -> Any:
        """The model."""
        return self.task.adapter

    @property
    def held(self) -> Held:
        """What the pieces of the run need."""
        return Held(self.adapter, {TEST: self.task, VALIDATION: self.validation})

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{self.recipe.name}-{self.id}"


def prepare(name: str | Path, overrides: Sequence[str] = (), device: str | None = None) -> Experiment:
    """Read a recipe, load its model, and check the one against the other.

    `name`: A file, or the name of a recipe that comes with mmsteer.
    `overrides`: lines `a.b.c=value`.
    `device`: where the model lies, for a process that leaves the work to others; None for where the recipe says.

    Raises:
        RecipeError: The recipe is wrong, or does not fit the model.
    """
    checked = check_recipe(name, overrides)
    recipe = checked.recipe
    adapter = load_named(recipe.model, device)
    task = forms.task(recipe, adapter, recipe.data)
    _check_fit(checked, task)
    validation = forms.task(recipe, adapter, recipe.choose.data) if recipe.choose else None
    return Experiment(checked, task, validation, _identity(checked, task))


def held_by_worker(name: str, overrides: Sequence[str], folder: str, wanted: str) -> Held:
    """What a worker of a run has, made in its own process.

    Args:
        name: The recipe, as the driver was given it.
        overrides: Lines `a.b.c=value`.
        folder: The driver's working folder, where relative names are looked up.
        wanted: The id of the driver's run.

    Raises:
        WorkerError: The folder is not there, or the run would be another one.
    """
    enter(folder)
    with without_progress_bars():
        found = prepare(name, overrides)
    check_same(found.id, wanted)
    return found.held


def _check_fit(checked: CheckedRecipe, task: Task) -> None:
    """Refuse what this model cannot do, all at once.

    Raises:
        RecipeError: There is such a thing; the message has a line for each.
    """
    problems = []
    for entry in checked.recipe.directions:
        problems += complaints(_check_directions, entry, checked, task)
    problems += complaints(task.check)
    how = checked.recipe.attribution
    if how:
        problems += complaints(check_units, how, task.adapter, name="attribution: ")
    if not problems:
        names: dict[str, Direction] = {}
        for entry in checked.recipe.directions:
            problems += complaints(_check_without, entry, names, task)
            names |= shaped(entry, checked, task)
        for condition in checked.conditions:
            problems += complaints(_check_condition, condition, names, task)
            if how:
                problems += complaints(check_condition, how, condition, names, name="attribution: ")
    if problems:
        raise RecipeError("\n".join(f"{checked.recipe.name}: {problem}" for problem in dict.fromkeys(problems)))


def _check_directions(entry: Any, checked: CheckedRecipe, task: Task) -> None:
    if isinstance(entry, FoundDirections):
        check_model(entry.data, task.adapter)
        _sites(entry, task)
        return
    for direction in checked.files[entry.file].values():
        try:
            direction.check_model(task.adapter)
        except DirectionError as cause:
            raise DirectionError(f"{entry.file}: {cause}") from None


def _check_without(entry: Any, names: Mapping[str, Direction], task: Task) -> None:
    """Refuse to leave out what is no single direction at each site of an entry.

    Raises:
        RecipeError: There is such a direction.
    """
    for direction in left_out(entry, names):
        for site in _sites(entry, task):
            vector = direction.vectors.get(site)
            if vector is None or vector.ndim > 1:
                have = "is not" if vector is None else "has not one vector"
                raise RecipeError(
                    f"{entry.family}: {direction.name}, left out, {have} at {site}; find both at the same sites"
                )


def shaped(entry: Any, checked: CheckedRecipe, task: Task) -> Mapping[str, Direction]:
    """The entry's directions; those still to be found as stand-ins at the sites where they will lie.

    `entry`: of the recipe's directions.
    `checked`: the recipe.
    `task`: whose model they are for.
    """
    if isinstance(entry, FileDirections):
        return checked.files[entry.file]
    sites = _sites(entry, task)
    stats = dict.fromkeys(sites, SiteStats(1.0, 0.0, 1.0, 1.0))
    vectors = {site: _unit(task.adapter.widths[site]) for site in sites}
    features = {site: Feature(vectors[site], 0.0, 0.0) for site in sites if _is_feature(entry, task)}
    names = [f"{entry.family}:{label}" for label in labels_of(entry.data)]
    return {name: Direction(name, vectors, stats, task.adapter.fingerprint, {}, features) for name in names}


def _is_feature(entry: FoundDirections, task: Task) -> bool:
    probe = entry.probe
    return isinstance(probe, SaeProbe) and readable(probe, dictionary_of(entry, probe, task.adapter))


def _sites(entry: FoundDirections, task: Task) -> tuple[Site, ...]:
    """Where an entry's directions will lie; refuses a dictionary that does not fit the model."""
    if isinstance(entry.probe, SaeProbe):
        dictionary = dictionary_of(entry, entry.probe, task.adapter)
        assert dictionary.site is not None
        return (dictionary.site,)
    return select_sites(entry.sites, task.adapter.widths)


def _unit(width: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(0), width).float()


def _check_condition(condition: Condition, names: Mapping[str, Direction], task: Task) -> None:
    task.check_own(condition.own)
    for item in condition.steering(names).attributes:
        task.check_attribute(item)
        if item.gate:
            item.gate.check_sites(item.written)


def _identity(checked: CheckedRecipe, task: Task) -> str:
    recipe = mapped(checked.recipe, lambda path: "").model_dump(mode="json")
    recipe["content"] = forms.content(checked.recipe)
    for entry in recipe["directions"]:
        if "file" in entry:
            entry["file"] = file_digest(Path(entry["file"]))
        elif "dictionary" in entry["probe"]:
            entry["probe"]["dictionary"] = dictionary_digest(entry["probe"]["dictionary"])
    # Where a model lies, and on which device it runs, are no part of what it is.
    recipe["model"] = task.adapter.run_identity
    return run_id(recipe)
