"""Recipes of the kind music, before the model is loaded."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmsteer.adapters import MusicgenAdapter
from mmsteer.document import Place
from mmsteer.errors import DataError, RecipeError
from mmsteer.eval.adherence import JUDGE
from mmsteer.eval.attributes import ATTRIBUTES, EVALUATORS
from mmsteer.probes import TargetKind
from mmsteer.recipes.expand import Condition
from mmsteer.recipes.loading import did_you_mean
from mmsteer.recipes.music.data import clips_of, labels_of, prompts_of
from mmsteer.recipes.music.schema import ConceptData, MusicDirections, MusicRecipe, Prompts, SynTheoryData
from mmsteer.recipes.music.scoring import ADHERENCE, needed
from mmsteer.recipes.music.task import MusicTask
from mmsteer.recipes.problems import Problem
from mmsteer.tasks import Labelled
from mmsteer.worlds.music.concepts import check_stated

SCHEMA: Any = MusicRecipe
ENTRY: Any = MusicDirections
SOURCE = "prompts"
OWN: Mapping[str, Any] = MusicTask.OWN
TARGET_KIND: TargetKind = "multiclass"
POOLS: tuple[str, ...] = ("mean", "last", "max")
CONTROLS: tuple[str, ...] = ()


def located(recipe: MusicRecipe, home: Path) -> MusicRecipe:
    """The recipe as it is: music names no files but directions.

    Args:
        recipe: The recipe.
        home: The folder that it lies in.
    """
    return recipe


def labels(entry: MusicDirections) -> tuple[str, ...]:
    """The classes of an entry's clips.

    Args:
        entry: The entry.
    """
    return labels_of(entry.data)


def check_entry(entry: MusicDirections) -> None:
    """Refuse an entry of directions that cannot be found.

    Args:
        entry: The entry.

    Raises:
        RecipeError: SynTheory's clips have no prompts.
        DataError: No prompt can state the concept.
    """
    if isinstance(entry.data, SynTheoryData) and entry.text != "none":
        raise RecipeError("SynTheory's clips have no prompts; write text: none")
    if isinstance(entry.data, ConceptData) and entry.text == "stated":
        check_stated(entry.data.concept)


def samples(entry: MusicDirections, adapter: Any, control: str | None = None, seed: int = 0) -> Labelled:
    """The clips of an entry.

    Args:
        entry: The entry.
        adapter: The model.
        control: None: music has no controls but random directions.
        seed: Of a control.
    """
    return clips_of(entry.data, _player(adapter).sample_rate, entry.text)


def problems(recipe: MusicRecipe, conditions: Sequence[Condition]) -> list[Problem]:
    """What is wrong with prompts, evaluators and targets.

    Args:
        recipe: The recipe.
        conditions: Its conditions.
    """
    sources: list[tuple[Place, Prompts]] = [(("prompts",), recipe.prompts)]
    if recipe.choose:
        sources.append((("choose", "prompts"), recipe.choose.prompts))
    found = [problem for place, prompts in sources for problem in _prompts(recipe, place, prompts)]
    return found + _evaluate(recipe) + _targets(recipe, conditions)


def metric_names(recipe: MusicRecipe, conditions: Sequence[Condition]) -> tuple[str, ...]:
    """The metrics of the targets and evaluators.

    Args:
        recipe: The recipe.
        conditions: Its conditions.
    """
    known = {name: ATTRIBUTES[name] for one in conditions for name in one.own["target"] if name in ATTRIBUTES}
    hits = [f"{name}.hit" for name in known]
    shares = [f"{name}.share" for name, target in known.items() if target.share]
    told = [ADHERENCE] if ADHERENCE in recipe.evaluate else []
    return (*hits, *shares, *told, *(["voiced"] if "notes" in needed(recipe.evaluate) else []))


def identity(recipe: MusicRecipe) -> dict[str, Any]:
    """The recipe as plain data, and the fitted judge of instruments: another one would give other scores.

    Args:
        recipe: The recipe.
    """
    return recipe.model_dump(mode="json") | {"judge": hashlib.sha256(JUDGE.read_bytes()).hexdigest()}


def files(recipe: MusicRecipe) -> tuple[Path, ...]:
    """None: everything is rendered.

    Args:
        recipe: The recipe.
    """
    return ()


def task(recipe: MusicRecipe, adapter: Any, source: Prompts) -> MusicTask:
    """Prompts to be played.

    Args:
        recipe: The recipe.
        adapter: The model.
        source: The recipe's own prompts, or those that conditions are tried on.
    """
    return MusicTask(recipe, _player(adapter), prompts_of(source, recipe.seed))


def _player(adapter: Any) -> MusicgenAdapter:
    """The adapter, refused where its model makes no music.

    Raises:
        RecipeError: It makes none.
    """
    if not isinstance(adapter, MusicgenAdapter):
        raise RecipeError("this model makes no music; recipes of `kind: music` and concepts need a MusicGen model")
    return adapter


def _prompts(recipe: MusicRecipe, place: Place, prompts: Prompts) -> list[Problem]:
    try:
        prompts_of(prompts, recipe.seed)
    except DataError as cause:
        return [Problem(place, str(cause))]
    return []


def _evaluate(recipe: MusicRecipe) -> list[Problem]:
    known = [*EVALUATORS, ADHERENCE]
    return [
        Problem(("evaluate", at), f"no evaluator {name!r}{did_you_mean(name, known)} (choose from {', '.join(known)})")
        for at, name in enumerate(recipe.evaluate)
        if name not in known
    ]


def _targets(recipe: MusicRecipe, conditions: Sequence[Condition]) -> list[Problem]:
    found: dict[Any, Problem] = {}
    for condition in conditions:
        for attribute, label in condition.own["target"].items():
            message = _target_problem(recipe, attribute, label)
            if message:
                place = (*condition.place, "target", attribute)
                found.setdefault(place, Problem(place, message))
    return list(found.values())


def _target_problem(recipe: MusicRecipe, attribute: str, label: str) -> str | None:
    if attribute not in ATTRIBUTES:
        return f"no attribute {attribute!r}{did_you_mean(attribute, ATTRIBUTES)} (choose from {', '.join(ATTRIBUTES)})"
    target = ATTRIBUTES[attribute]
    if label not in target.labels:
        return f"no {attribute} {label!r}{did_you_mean(label, target.labels)} (choose from {', '.join(target.labels)})"
    if target.evaluator not in needed(recipe.evaluate):
        return f"nobody listens for it; add {target.evaluator} to evaluate"
    return None
