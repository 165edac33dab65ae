"""A task under steerings that are given in Python: the loop of recipes without a recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsteer.api import parse_steering
from mmsteer.document import write_document
from mmsteer.errors import MmsteerError, RecipeError
from mmsteer.formats import load_directions, save_directions
from mmsteer.recipes.environment import environment, run_id
from mmsteer.recipes.folder import SAMPLES, RunFolder
from mmsteer.recipes.loop import SCORES, carry_out
from mmsteer.recipes.plan import UNSTEERED, Condition, Planned, Planner
from mmsteer.recipes.problems import complaints
from mmsteer.recipes.rows.task import RowsTask
from mmsteer.recipes.scoring import ITEM
from mmsteer.steering import Steering
from mmsteer.types import Direction, Score, content_digest
from mmsteer.workers import Held, Workers

Controls = Mapping[str, Mapping[str, Direction]]
"""For each kind of control, the directions that stand for those of the same names."""


@dataclass(frozen=True, eq=False)
class Results:
    """A finished evaluation.

    Attributes:
        path: Its run folder, for which `mmsteer report` makes a page.
        scores: For each condition and metric the scores `steered`, `unsteered`, `difference`, and those of the
            controls; each has `value`, `low`, `high` (95 %), `n` and `unscored`, or is None.
        samples: For each condition and control the lines of its outputs.
    """

    path: Path
    scores: Mapping[str, Mapping[str, Mapping[str, Any]]]
    samples: Mapping[str, Sequence[Mapping[str, Any]]]

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("condition", "metric", *ARMS)]
        for condition, metrics in self.scores.items():
            rows += [(condition, name, *(_shown(one.get(arm)) for arm in ARMS)) for name, one in metrics.items()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


DIRECTIONS = "directions.safetensors"
ARMS = ("steered", UNSTEERED, "random")


def evaluate(
    task: RowsTask,
    steerings: Mapping[str, Steering | str],
    directions: Mapping[str, Direction] | str | Path | None = None,
    *,
    folder: str | Path,
    random: int = 1,
    controls: Controls | None = None,
    kl: float | None = None,
    seed: int = 0,
    workers: Workers | None = None,
    progress: bool = True,
) -> Results:
    """Generate and score a task under each steering, beside the unsteered model and controls.

    Every condition sees the same rows with the same seeds. Run again with the same arguments, it goes on where it
    stopped, and gives what it has where it is finished. A function among the scorers is known by its
    code, and what it calls by name: where that changes, take another folder.

    Args:
        task: Rows, the model, how outputs are sampled, and scorers.
        steerings: For the name of each condition what is applied, or a line such as `style:pirate 0.3 on text.14`.
        directions: What the lines name: directions, or the file that holds them.
        folder: The run folder; new, empty, or of this very evaluation.
        random: Random directions of the same dose that stand beside each condition.
        controls: Further controls by their kind, such as `{"shuffled": directions}`.
        kl: Divergence in nats that 95 % of the tokens stay below, to which the strengths of all conditions are
            calibrated; None to leave them.
        seed: Of the random directions.
        workers: What generates and judges, each with what `held_task` makes of its own copy of the task; None for this
            process.
        progress: Show what is running and how long it takes.

    Raises:
        RecipeError: There is nothing to evaluate, a condition does not fit the model, or the folder holds another run.
    """
    known = load_directions(directions) if isinstance(directions, str | Path) else directions or {}
    given = _given(steerings, known, kl)
    _check(task, given)
    plan = Planner(True, random, controls or {}, seed).plan(given, known)
    steered = [(one.to_json(), content_digest(one.steering)) for one in plan]
    told = {"task": task.identity(), "plan": steered, "kl": kl}
    run = RunFolder.open(Path(folder), run_id(told), Path(folder).name)
    with run.locked():
        if not run.finished:
            _describe(run, task, plan, _used(given, controls or {}))
            carry_out(task, run, plan, lambda one: one.name, workers=workers, name=_name(task), progress=progress)
            run.finish()
    return _results(run)


def held_task(task: RowsTask) -> Held:
    """What a worker of an evaluation has.

    Args:
        task: The task that is evaluated, made in the worker's own process.
    """
    return Held(task.adapter, {_name(task): task})


def _name(task: RowsTask) -> str:
    """Of a task among those that a worker has: its content, so that no worker takes another for it."""
    return run_id({"task": task.identity()})


def _given(
    steerings: Mapping[str, Steering | str], known: Mapping[str, Direction], kl: float | None
) -> list[Condition]:
    found, problems = [], []
    for name, one in steerings.items():
        try:
            steering = one if isinstance(one, Steering) else parse_steering(one, known)
            found.append(Condition(name, kl=kl, given=steering))
        except MmsteerError as cause:
            problems.append(f"{name}: {cause}")
    if problems:
        raise RecipeError("\n".join(problems))
    return found


def _check(task: RowsTask, given: Sequence[Condition]) -> None:
    """Refuse what no run can be made of, all problems at once.

    Raises:
        RecipeError: There is such a thing.
    """
    problems = [] if given else ["no steering is given; name at least one condition"]
    if not task.rows:
        problems.append("the task has no rows")
    if not task.score:
        problems.append("the task has no scorer; give score, such as {'sea': 'contains:sea'}")
    problems += [f"{one.name!r} is the name of a control; take another" for one in given if one.name == UNSTEERED]
    problems += complaints(task.check, name="the task: ")
    for one in given:
        for item in one.steering({}).attributes:
            problems += complaints(item.direction.check_model, task.adapter, name=f"{one.name}: ")
            problems += complaints(task.check_attribute, item, name=f"{one.name}: ")
    if problems:
        raise RecipeError("\n".join(dict.fromkeys(problems)))


def _describe(run: RunFolder, task: RowsTask, plan: Sequence[Planned], used: Sequence[Direction]) -> None:
    made = environment("given from Python", task.adapter, (), ())
    run.write_bytes("recipe.yaml", write_document(_described(task, plan, run.path.name)).encode(), once=True)
    run.write("environment.json", {"id": run.id} | made, once=True)
    if not run.has(DIRECTIONS):
        save_directions(run.path / DIRECTIONS, _distinct(used), overwrite=True)
        run.seal(DIRECTIONS)


def _used(given: Sequence[Condition], controls: Controls) -> list[Direction]:
    mine = [item.direction for one in given for item in one.steering({}).attributes]
    return mine + [direction for kind in controls.values() for direction in kind.values()]


def _distinct(directions: Sequence[Direction]) -> list[Direction]:
    return list({one.name: one for one in reversed(directions)}.values())


def _described(task: RowsTask, plan: Sequence[Planned], name: str) -> dict[str, Any]:
    """What a report needs to know of the run, in the words of a recipe."""
    kind = {"audio": "music"}.get(task.adapter.output_kind, "image" if any(row.images for row in task.rows) else "text")
    conditions = [one.to_json() for one in plan if one.kind == "steered"]
    return {
        "name": name,
        "kind": kind,
        "data": {"rows": len(task.rows)},
        "score": task.identity()["score"],
        "conditions": [{"name": one["name"], "steer": one["steering"]} for one in conditions],
    }


def _results(run: RunFolder) -> Results:
    scores = {row["condition"]: row["metrics"] for row in run.read(SCORES)["rows"]}
    samples: dict[str, list[dict[str, Any]]] = {}
    for line in sorted(run.lines(SAMPLES), key=lambda line: int(line[ITEM])):
        samples.setdefault(line["condition"], []).append(line)
    return Results(run.path, scores, samples)


def _shown(score: Mapping[str, Any] | None) -> str:
    return "-" if not score or score["value"] is None else str(Score(**score))
