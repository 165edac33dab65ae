"""A checked recipe and its model: everything that can fail before any compute has failed here."""

import hashlib
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import mmsteer
from mmsteer.adapters import MusicgenAdapter
from mmsteer.api import load
from mmsteer.errors import DirectionError, MmsteerError, RecipeError
from mmsteer.recipes.checks import CheckedRecipe, check_recipe, steering_of
from mmsteer.recipes.data import Prompt, labels_of, prompts_of
from mmsteer.recipes.expand import Condition
from mmsteer.recipes.schema import FileDirections, FoundDirections, MusicRecipe
from mmsteer.schedules import Timeline
from mmsteer.types import Direction, Site, SiteStats, select_sites

PACKAGES = (
    "torch",
    "transformers",
    "numpy",
    "scipy",
    "librosa",
    "soundfile",
    "safetensors",
    "pydantic",
    "scikit-learn",
)
UNRELATED = ("cli", "report", "bundled")
"""Parts of the package that no result depends on."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """All that a run needs.

    Attributes:
        checked: The recipe.
        adapter: The model.
        prompts: What is generated.
        id: What the run depends on, as a short hash: recipe, model, direction files, code.
    """

    checked: CheckedRecipe
    adapter: MusicgenAdapter
    prompts: tuple[Prompt, ...]
    id: str

    @property
    def recipe(self) -> MusicRecipe:
        """What the recipe says."""
        return self.checked.recipe

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{self.recipe.name}-{self.id}"


def prepare(name: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read a recipe, load its model, and check the one against the other.

    Args:
        name: A file, or the name of a recipe that comes with mmsteer.
        overrides: Lines `a.b.c=value`.

    Raises:
        RecipeError: The recipe is wrong, or does not fit the model.
    """
    checked = check_recipe(name, overrides)
    model = checked.recipe.model
    adapter = load(model.load, device=model.device, dtype=model.dtype)
    _check_fit(checked, adapter)
    prompts = prompts_of(checked.recipe.prompts, checked.recipe.seed)
    return Experiment(checked, adapter, prompts, _identity(checked, adapter))


def environment(experiment: Experiment) -> dict[str, Any]:
    """What the run was made with, as plain JSON.

    Args:
        experiment: The run.
    """
    return {
        "id": experiment.id,
        "mmsteer": metadata.version("mmsteer"),
        "code": _code(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "model": {"name": experiment.recipe.model.load, "fingerprint": experiment.adapter.fingerprint},
        "directions": {Path(file).name: _digest(Path(file)) for file in experiment.checked.files},
    }


def _check_fit(checked: CheckedRecipe, adapter: MusicgenAdapter) -> None:
    """Refuse what this model cannot do, all at once.

    Raises:
        RecipeError: There is such a thing; the message has a line for each.
    """
    problems = []
    for entry in checked.recipe.directions:
        problems += _complaint(lambda entry=entry: _check_directions(entry, checked, adapter))
    problems += _complaint(lambda: adapter.frames(checked.recipe.generate.seconds))
    if not problems:
        names = {
            name: one for entry in checked.recipe.directions for name, one in _shaped(entry, checked, adapter).items()
        }
        for condition in checked.conditions:
            problems += _complaint(lambda condition=condition: _check_condition(condition, names, checked, adapter))
    if problems:
        raise RecipeError("\n".join(f"{checked.recipe.name}: {problem}" for problem in dict.fromkeys(problems)))


def _complaint(check: Any) -> list[str]:
    try:
        check()
    except MmsteerError as cause:
        return [str(cause)]
    return []


def _check_directions(entry: Any, checked: CheckedRecipe, adapter: MusicgenAdapter) -> None:
    if isinstance(entry, FoundDirections):
        select_sites(entry.sites, adapter.sites)
        return
    for direction in checked.files[entry.file].values():
        try:
            direction.check_model(adapter.fingerprint, adapter.widths)
        except DirectionError as cause:
            raise DirectionError(f"{entry.file}: {cause}") from None


def _shaped(entry: Any, checked: CheckedRecipe, adapter: MusicgenAdapter) -> Mapping[str, Direction]:
    """The entry's directions; those still to be found as stand-ins at the sites where they will lie."""
    if isinstance(entry, FileDirections):
        return checked.files[entry.file]
    sites = select_sites(entry.sites, adapter.sites)
    stats = dict.fromkeys(sites, SiteStats(1.0, 0.0, 1.0, 1.0))
    vectors = {site: _unit(adapter.widths[site]) for site in sites}
    names = [f"{entry.family}:{label}" for label in labels_of(entry.data)]
    return {name: Direction(name, vectors, stats, adapter.fingerprint) for name in names}


def _unit(width: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(0), width).float()


def _check_condition(
    condition: Condition, names: Mapping[str, Direction], checked: CheckedRecipe, adapter: MusicgenAdapter
) -> None:
    frames = adapter.frames(checked.recipe.generate.seconds)
    for item in steering_of(condition, names).attributes:
        sites: tuple[Site, ...] = select_sites(item.sites, item.direction.sites) if item.sites else item.direction.sites
        item.schedule.values(Timeline(frames, adapter.rate, len(sites)))


def _identity(checked: CheckedRecipe, adapter: MusicgenAdapter) -> str:
    recipe = checked.recipe.model_dump(mode="json")
    for entry in recipe["directions"]:
        if "file" in entry:
            entry["file"] = _digest(Path(entry["file"]))
    # Where a model lies and on which device it runs change no result that the fingerprint does not know of.
    recipe["model"] = {"fingerprint": adapter.fingerprint, "dtype": checked.recipe.model.dtype}
    text = json.dumps([recipe, _code(), metadata.version("torch"), sys.version_info[:2]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _code() -> str:
    """A hash of the code that results depend on."""
    root = Path(mmsteer.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        part = file.relative_to(root)
        if part.parts[0].removesuffix(".py") not in UNRELATED:
            digest.update(part.as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]
