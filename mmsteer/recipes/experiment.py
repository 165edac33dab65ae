"""A checked recipe and its model: everything that can fail before any compute has failed here."""

import hashlib
import json
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import mmsteer
from mmsteer.api import load
from mmsteer.errors import DirectionError, MmsteerError, RecipeError
from mmsteer.recipes.checks import CheckedRecipe, check_recipe
from mmsteer.recipes.dictionaries import dictionary_digest, dictionary_of, readable
from mmsteer.recipes.expand import Condition
from mmsteer.recipes.finding import left_out
from mmsteer.recipes.modality import Bench, Modality
from mmsteer.recipes.schema import FileDirections, FoundDirections, SaeProbe
from mmsteer.types import Direction, Feature, Site, SiteStats, select_sites

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
        bench: The recipe with its model.
        items: What is generated from.
        validation: What conditions are tried on first; empty where the recipe chooses nothing.
        id: What the run depends on, as a short hash: recipe, model, direction files, code.
    """

    checked: CheckedRecipe
    bench: Bench
    items: tuple[Any, ...]
    validation: tuple[Any, ...]
    id: str

    @property
    def recipe(self) -> Any:
        """What the recipe says."""
        return self.checked.recipe

    @property
    def modality(self) -> Modality:
        """The kind of recipe."""
        return self.checked.modality

    @property
    def adapter(self) -> Any:
        """The model."""
        return self.bench.adapter

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
    recipe, modality = checked.recipe, checked.modality
    model = recipe.model
    adapter = load(model.load, device=model.device, dtype=model.dtype, quantise=model.quantise)
    bench = modality.bench(recipe, adapter)
    _check_fit(checked, bench)
    items = modality.items(recipe, getattr(recipe, modality.SOURCE))
    validation = modality.items(recipe, getattr(recipe.choose, modality.SOURCE)) if recipe.choose else ()
    return Experiment(checked, bench, items, validation, _identity(checked, bench))


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
        "files": {str(file): _digest(file) for file in experiment.modality.files(experiment.recipe)},
    }


def _check_fit(checked: CheckedRecipe, bench: Bench) -> None:
    """Refuse what this model cannot do, all at once.

    Raises:
        RecipeError: There is such a thing; the message has a line for each.
    """
    problems = []
    for entry in checked.recipe.directions:
        problems += _complaint(_check_directions, entry, checked, bench)
    problems += _complaint(bench.check)
    if not problems:
        names: dict[str, Direction] = {}
        for entry in checked.recipe.directions:
            problems += _complaint(_check_without, entry, names, bench)
            names |= _shaped(entry, checked, bench)
        for condition in checked.conditions:
            problems += _complaint(_check_condition, condition, names, bench)
    if problems:
        raise RecipeError("\n".join(f"{checked.recipe.name}: {problem}" for problem in dict.fromkeys(problems)))


def _complaint(check: Callable[..., None], *of: Any) -> list[str]:
    try:
        check(*of)
    except MmsteerError as cause:
        return [str(cause)]
    return []


def _check_directions(entry: Any, checked: CheckedRecipe, bench: Bench) -> None:
    if isinstance(entry, FoundDirections):
        _sites(entry, bench)
        return
    for direction in checked.files[entry.file].values():
        try:
            direction.check_model(bench.adapter)
        except DirectionError as cause:
            raise DirectionError(f"{entry.file}: {cause}") from None


def _check_without(entry: Any, names: Mapping[str, Direction], bench: Bench) -> None:
    """Refuse to leave out what is no single direction at each site of an entry.

    Raises:
        RecipeError: There is such a direction.
    """
    for direction in left_out(entry, names):
        for site in _sites(entry, bench):
            vector = direction.vectors.get(site)
            if vector is None or vector.ndim > 1:
                have = "is not" if vector is None else "has not one vector"
                raise RecipeError(
                    f"{entry.family}: {direction.name}, left out, {have} at {site}; find both at the same sites"
                )


def _shaped(entry: Any, checked: CheckedRecipe, bench: Bench) -> Mapping[str, Direction]:
    """The entry's directions; those still to be found as stand-ins at the sites where they will lie."""
    if isinstance(entry, FileDirections):
        return checked.files[entry.file]
    sites = _sites(entry, bench)
    stats = dict.fromkeys(sites, SiteStats(1.0, 0.0, 1.0, 1.0))
    vectors = {site: _unit(bench.adapter.widths[site]) for site in sites}
    features = {site: Feature(vectors[site], 0.0, 0.0) for site in sites if _is_feature(entry, bench)}
    names = [f"{entry.family}:{label}" for label in checked.modality.labels(entry)]
    return {name: Direction(name, vectors, stats, bench.adapter.fingerprint, {}, features) for name in names}


def _is_feature(entry: FoundDirections, bench: Bench) -> bool:
    probe = entry.probe
    return isinstance(probe, SaeProbe) and readable(probe, dictionary_of(entry, probe, bench.adapter))


def _sites(entry: FoundDirections, bench: Bench) -> tuple[Site, ...]:
    """Where an entry's directions will lie; refuses a dictionary that does not fit the model."""
    if isinstance(entry.probe, SaeProbe):
        dictionary = dictionary_of(entry, entry.probe, bench.adapter)
        assert dictionary.site is not None
        return (dictionary.site,)
    return select_sites(entry.sites, bench.adapter.widths)


def _unit(width: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(0), width).float()


def _check_condition(condition: Condition, names: Mapping[str, Direction], bench: Bench) -> None:
    for item in condition.steering(names).attributes:
        bench.check_attribute(item)
        if item.gate:
            item.gate.check_sites(item.written)


def _identity(checked: CheckedRecipe, bench: Bench) -> str:
    recipe = checked.modality.identity(checked.recipe)
    for entry in recipe["directions"]:
        if "file" in entry:
            entry["file"] = _digest(Path(entry["file"]))
        elif "dictionary" in entry["probe"]:
            entry["probe"]["dictionary"] = dictionary_digest(entry["probe"]["dictionary"])
    # Where a model lies and on which device it runs change no result that the fingerprint does not know of.
    recipe["model"] = recipe["model"] | {"load": bench.adapter.fingerprint, "device": None}
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
