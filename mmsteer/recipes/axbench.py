"""Recipes of the kind `axbench`: what they may say, and how they run."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from mmsteer.adapters import AnyAdapter
from mmsteer.api import load
from mmsteer.axbench import EndpointRater, OfflineRater, Rater, Reader, Results, Settings, read_concepts, summarise
from mmsteer.axbench.answers import unsteered
from mmsteer.axbench.bench import BENCH, Bench
from mmsteer.axbench.bench import run as run_bench
from mmsteer.axbench.concepts import Concept
from mmsteer.axbench.judges import AbsentRater, installed_embedder, offline_name
from mmsteer.axbench.truth_rater import TruthRater
from mmsteer.bundled import PACKAGED
from mmsteer.bundled.dictionary import BUNDLED
from mmsteer.bundled.progress_bars import without_progress_bars
from mmsteer.errors import RecipeError
from mmsteer.eval.judge import EndpointJudge
from mmsteer.json_lines import read_json_lines
from mmsteer.library import library
from mmsteer.probes.bounds import Count, Positive, Seed
from mmsteer.recipes.axbench_worlds import WorldName, WorldSet, world_set
from mmsteer.recipes.environment import run_id
from mmsteer.recipes.loading import find_recipe, load_document, place_of
from mmsteer.recipes.model_workers import check_same, enter, load_named
from mmsteer.recipes.part import Part, Text
from mmsteer.recipes.problems import refusal, schema_problems
from mmsteer.recipes.schema import Model
from mmsteer.types import Sample, Sampling
from mmsteer.workers import Held, opened

MethodName = Literal[
    "diff-mean",
    "pca",
    "lat",
    "probe",
    "rfm",
    "sae-a",
    "ssv",
    "reft-r1",
    "loreft",
    "bipo",
    "random",
    "prompt",
    "lora",
]


READER = "bundled:gemma3-270m"
"""Who reads for fluency where it is installed."""


class AxBench(Part):
    """Concept detection and steering for finders of every kind, beside prompting and LoRA."""

    kind: Literal["axbench"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)] = Field(
        description="of the run folder, with an id behind it"
    )
    about: Text = Field(description="what the recipe is for")
    model: Model
    data: Text | None = Field(
        default=None,
        description="a folder of concepts in AxBench's layout (`train` and `test` tables), beside the recipe",
    )
    instructions: Text | None = Field(
        default=None, description="JSON lines with `input`, beside the recipe; only those of `split` steer"
    )
    world: WorldName | None = Field(
        default=None,
        description="in place of both: `objects` of rendered scenes, `notes` or `instruments` of rendered clips",
    )
    seconds: Annotated[float, Field(gt=0)] | None = Field(default=None, description="of a clip, in place of tokens")
    concepts: Count | None = Field(default=None, description="only the first so many")
    site: Text = Field(description="where concepts are read and written, such as text.14")
    methods: Annotated[tuple[MethodName, ...], Field(min_length=1)] = Field(description="what is compared")
    dictionary: Text | None = Field(default=None, description="of sparse features, for sae-a, such as bundled:text")
    factors: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        description="tried strengths: multiples of the largest reading of a method in its own training answers"
    )
    prompts: Annotated[int, Field(ge=2, multiple_of=2)] = Field(
        description="instructions of each concept; one half chooses the factor, the other is reported"
    )
    tokens: Count = Field(description="most of an answer")
    temperature: Annotated[float, Field(ge=0)] = 1.0
    positions: Text = Field(
        default="all", description="the tokens that are steered, in training too; the paper's are `all - first`"
    )
    examples: Count = Field(default=72, description="most training examples of each side")
    steps: Count = Field(default=100, description="of every method that is trained")
    train_batch: Count = Field(default=6, description="answers a step")
    batch: Count = Field(default=32, description="answers that are generated together")
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    judge: Literal["offline", "endpoint"] = Field(
        description="endpoint: that of MMSTEER_JUDGE_URL and MMSTEER_JUDGE_MODEL"
    )
    fluency: Text | None = Field(
        default=None,
        description="the model under which the offline judge reads fluency; left out, bundled:gemma3-270m where it is "
        "installed, else the unsteered model",
    )


def check_axbench(name: str | Path, overrides: Sequence[str] = ()) -> tuple[AxBench, tuple[Concept, ...], list[str]]:
    """A recipe with its concepts and instructions, which a world makes only when its model is there.

    Args:
        name: A file, or the name of a recipe that comes with mmsteer.
        overrides: Lines `a.b.c=value`.

    Raises:
        RecipeError: The recipe is wrong.
        DataError: A table or instruction cannot be used.
    """
    document = load_document(name, overrides)
    try:
        # As JSON: there a list is the only way to write a tuple, so strictness does not mind it.
        recipe = AxBench.model_validate_json(json.dumps(document.data))
    except ValidationError as error:
        raise RecipeError(refusal(document, schema_problems(AxBench, document.data, error))) from None
    _settings(recipe)  # refuses what the schema cannot, such as positions
    _check_source(recipe, str(name))
    if recipe.data is None or recipe.instructions is None:
        return recipe, (), []
    home = find_recipe(name).parent
    concepts = read_concepts(_place(recipe.data, home))[: recipe.concepts]
    return recipe, concepts, _instructions(_place(recipe.instructions, home))


def run_axbench(
    name: str | Path,
    overrides: Sequence[str] = (),
    out: Path | None = None,
    *,
    workers: str | None = None,
    progress: bool = True,
) -> tuple[Path, Results]:
    """Run a recipe of this kind, or what is left of it.

    Args:
        name: A file, or the name of a recipe that comes with mmsteer.
        overrides: Lines `a.b.c=value`.
        out: The folder; None for `runs/<name>-<id>`.
        workers: What does the concepts, as `--workers` takes them; None for this process.
        progress: Show a bar.

    Returns:
        The folder, and the table.

    Raises:
        RecipeError: The recipe is wrong.
    """
    made = _prepared(name, overrides, "cpu" if workers else None)
    folder = out or Path("runs") / f"{made.recipe.name}-{made.id}"
    bench = made.bench(_rater(made, absent=bool(workers)), folder)
    start = partial(held_axbench, str(name), overrides, os.getcwd(), made.id)
    with opened(workers, start) if workers else nullcontext() as by:
        return folder, summarise(run_bench(bench, made.concepts, made.told, workers=by, progress=progress))


def held_axbench(name: str, overrides: Sequence[str], folder: str, wanted: str) -> Held:
    """What a worker of such a run has, made in its own process.

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
        made = _prepared(name, overrides, None)
    check_same(made.id, wanted)
    return Held(made.adapter, {BENCH: made.bench(_rater(made), None)})


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A checked recipe with its model.

    `told`: what else the results depend on, besides `settings`.
    `id`: what all of it depends on, as a short hash.
    `world`: where concepts are of a rendered world.
    `reader`: who reads for fluency, where that is another model.
    """

    recipe: AxBench
    concepts: tuple[Concept, ...]
    instructions: Sequence[Sample]
    settings: Settings
    adapter: AnyAdapter
    told: Mapping[str, Any]
    id: str
    world: WorldSet | None
    reader: Reader | None

    @property
    def sampling(self) -> Sampling:
        recipe = self.recipe
        if recipe.seconds:
            return Sampling(seconds=recipe.seconds, temperature=recipe.temperature)
        return self.settings.sampling

    def bench(self, rater: Rater, folder: Path | None) -> Bench:
        made = Bench(self.adapter, self.instructions, self.settings, rater, folder, self.sampling)
        return made if self.world is None else replace(made, fits=self.world.fits)


def _prepared(name: str | Path, overrides: Sequence[str], device: str | None) -> _Prepared:
    recipe, concepts, instructions = check_axbench(name, overrides)
    settings, adapter = _settings(recipe), load_named(recipe.model, device)
    world = world_set(recipe.world, adapter) if recipe.world else None
    asked = [Sample(str(at), text) for at, text in enumerate(instructions)]
    if world is not None:
        concepts, asked = world.concepts[: recipe.concepts], list(world.instructions)
    reader = _reader(recipe, device)
    of_world = {"world": recipe.world, "seconds": recipe.seconds} if world else {}
    of_reader = {"reader": reader.adapter.run_identity} if reader else {}
    told = {"model": adapter.run_identity, "data": _digest(concepts, instructions), **of_world, **of_reader}
    found = run_id({**told, **asdict(settings), "judge": recipe.judge})
    return _Prepared(recipe, concepts, asked, settings, adapter, told, found, world, reader)


def _reader(recipe: AxBench, device: str | None) -> Reader | None:
    """Who reads answers for fluency: the model that is named, or Gemma where it is installed; None for the unsteered.

    `device`: in the place of the recipe's.
    """
    if recipe.judge == "endpoint" or recipe.world:
        return None
    name = recipe.fluency or (READER if PACKAGED[READER.removeprefix(BUNDLED)].installed else None)
    return Reader(name, load(name, device=device or recipe.model.device, dtype="float32")) if name else None


def _settings(recipe: AxBench) -> Settings:
    shared = set(Settings.__dataclass_fields__) & set(AxBench.model_fields)
    return Settings(**{name: getattr(recipe, name) for name in shared})


def _check_source(recipe: AxBench, name: str) -> None:
    """Refuse a recipe that has no concepts, or two kinds of them.

    Raises:
        RecipeError: It has.
    """
    files = recipe.data is not None and recipe.instructions is not None
    if files == (recipe.world is not None) or (recipe.world and (recipe.data or recipe.instructions)):
        raise RecipeError(f"{name}: give data and instructions, or world alone")
    if recipe.world and recipe.judge == "endpoint":
        raise RecipeError(f"{name}: a world is judged by its truth; write judge: offline")
    if recipe.fluency and (recipe.world or recipe.judge == "endpoint"):
        judge = "an endpoint" if recipe.judge == "endpoint" else "a world's truth"
        raise RecipeError(f"{name}: fluency is for judge: offline on texts, and here {judge} judges; leave it out")


def _rater(made: _Prepared, *, absent: bool = False) -> Rater:
    if made.recipe.judge == "endpoint":
        return EndpointRater(EndpointJudge.from_environment())
    embed = None if made.world else installed_embedder()
    if absent:
        return AbsentRater(TruthRater.name if made.world else offline_name(embed, made.reader))
    plain: list[Sample] = unsteered(made.adapter, made.instructions, made.sampling, made.settings.batch)
    if made.world is not None:
        return TruthRater(made.adapter, plain, made.world.references)
    return OfflineRater(made.adapter, plain, embed, made.reader)


def _place(path: str, home: Path) -> Path:
    """Beside the recipe, here, or among what comes with mmsteer, so that a copied recipe finds the set."""
    own, shipped = place_of(path, home), library("recipes") / path
    return shipped if os.path.exists(shipped) and not os.path.exists(own) else own


def _instructions(path: Path) -> list[str]:
    rows = [row for _, row in read_json_lines(path, RecipeError)]
    found = [row["input"] for row in rows if row.get("split", "steer") == "steer" and isinstance(row.get("input"), str)]
    if not found:
        raise RecipeError(f"{path}: no line has an `input` with the split `steer`, or without a split")
    return found


def _digest(concepts: Sequence[Concept], instructions: Sequence[str]) -> str:
    return sha256(repr((concepts, instructions)).encode()).hexdigest()[:16]
