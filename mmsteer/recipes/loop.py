"""The loop: a task under each steering of a plan, generated, scored and set beside its controls, in a run folder."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from mmsteer.recipes.folder import CHUNKS, SAMPLES, RunFolder
from mmsteer.recipes.pieces import ReadPushes
from mmsteer.recipes.plan import UNSTEERED, Planned
from mmsteer.recipes.receipts import joined_receipt
from mmsteer.recipes.sampling import DOSES, Sampler
from mmsteer.recipes.scoring import ITEM, Scored, score_conditions
from mmsteer.recipes.task import Task
from mmsteer.steering import Steering
from mmsteer.types import Sample
from mmsteer.workers import Held, Here, Workers

SCORES = "scores.json"
Lines = Mapping[str, list[dict[str, Any]]]
Group = Callable[[Any], Hashable]
"""What a condition shares with those that its scores are pooled with."""


def carry_out(
    task: Task,
    folder: RunFolder,
    plan: Sequence[Planned],
    group: Group,
    factors: Mapping[str, float | None] | None = None,
    *,
    workers: Workers | None = None,
    name: str = "",
    shown: bool = True,
    progress: bool,
) -> tuple[dict[str, Steering], Lines]:
    """Generate and score everything of a plan, or what is left of it.

    Args:
        task: What is generated and scored.
        folder: Where everything is kept.
        plan: All conditions and controls; the unsteered one first.
        group: Conditions of one group are also scored together.
        factors: For each condition the factor of its strengths, where that is known already.
        workers: What generates; None for this process.
        name: Of the task among those that workers have.
        shown: Whether outputs are looked at, so that their words are measured.
        progress: Show what is running and how long it takes.

    Returns:
        The steering of each condition as it was applied, and the lines of its outputs.
    """
    task.describe(folder)
    folder.write("conditions.json", [planned.to_json() for planned in plan])
    by = workers or Here(Held(task.adapter, {name: task}))
    applied = Sampler(task, folder, factors, by, name).run(plan, progress=progress)
    lines, receipts = _by_condition(folder.lines(SAMPLES), ITEM), _receipts(folder, plan)
    steered = [planned for planned in plan if planned.kind == "steered"]
    traces = {one.name: task.traces(applied[one.name], lines[one.name], lines.get(UNSTEERED)) for one in steered}
    looked_at = {one: applied[one.name] for one in steered} if shown else {}
    for condition, words in _words(task, folder, looked_at, lines, by):
        traces[condition] = {**traces[condition], "words": words}
    scored = [_scored(one, group, lines, receipts) for one in steered]
    folder.write("receipts.json", receipts)
    folder.write("traces.json", traces)
    folder.write(SCORES, score_conditions(scored, task.scores))
    return applied, lines


def _words(
    task: Task, folder: RunFolder, applied: Mapping[Planned, Steering], lines: Lines, workers: Workers
) -> Iterator[tuple[str, dict[int, list[float]]]]:
    """Of each steered condition how far the words of its first outputs were pushed, by example.

    Where directions are each picture's own, nothing is measured, as of their dose.
    """
    if task.adapter.output_kind != "text":
        return
    asked = [one for one in applied if applied[one].attributes and not one.own["per_image"]]
    shown = {one: task.looked_at(lines[one.name], lines.get(UNSTEERED)) for one in asked}

    def outputs(one: Planned) -> Sequence[Sample]:
        return task.contexts(folder.path, one, [task.items[line[ITEM]] for line in shown[one]], shown[one])

    pieces = [ReadPushes(one, applied[one], outputs(one), task.steps) for one, some in shown.items() if some]
    for piece, found in workers.map(pieces):
        examples = (line[ITEM] for line in shown[piece.planned])
        yield piece.planned.name, {example: words for example, words in zip(examples, found, strict=True) if words}


def _receipts(folder: RunFolder, plan: Sequence[Planned]) -> dict[str, dict[str, Any]]:
    doses, made = folder.read(DOSES), _by_condition(folder.lines(CHUNKS), "chunk")
    # In the order of the plan: a batch that was made again stands at the end of the log.
    return {
        one.name: joined_receipt([line["receipt"] for line in made[one.name]])
        | {"kl": doses.get(one.name, {}).get("kl")}
        for one in plan
    }


def _by_condition(lines: Sequence[dict[str, Any]], order: str) -> Lines:
    """The lines of a log, those of each condition together, in the order of a key."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for line in sorted(lines, key=lambda line: int(line[order])):
        grouped.setdefault(line["condition"], []).append(line)
    return grouped


def _scored(planned: Planned, group: Group, lines: Lines, receipts: Mapping[str, dict[str, Any]]) -> Scored:
    assert planned.condition is not None
    return Scored(
        name=planned.name,
        values=planned.condition.values,
        own=planned.own,
        group=group(planned.condition),
        lines=lines[planned.name],
        unsteered=lines.get(UNSTEERED),
        controls={kind: [lines[name] for name in names] for kind, names in planned.controls.items()},
        kl=receipts[planned.name]["kl"],
        ratio=receipts[planned.name]["ratio"],
    )
