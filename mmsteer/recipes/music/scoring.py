"""Finished clips → scores: what each clip adds to the mean of each metric, under the target of its condition."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmsteer.eval.attributes import ATTRIBUTES, EVALUATORS, Reading
from mmsteer.recipes.beside import Count, beside_controls, share
from mmsteer.recipes.loading import did_you_mean
from mmsteer.recipes.plan import Condition
from mmsteer.recipes.problems import Problem
from mmsteer.recipes.scoring import ITEM, Line, Scored, mean

ADHERENCE = "adherence"
STATED = ("instrument", "tempo", "register")
"""What `adherence` reads."""


def clip_values(clip: Line, target: Mapping[str, str]) -> dict[str, float | None]:
    """Every number that one clip gives; None where it cannot be told.

    `clip`: A line of `samples.jsonl`.
    `target`: what the audio should have.
    """
    readings = clip["readings"]
    found: dict[str, float | None] = {}
    for attribute, label in target.items():
        scores = ATTRIBUTES[attribute].scores(readings, label)
        found |= {f"{attribute}.{kind}": value for kind, value in scores.items()}
    if clip["adherence"] is not None:
        found["adherence"] = mean(clip["adherence"].values())
    if "notes" in readings:
        found["voiced"] = readings["notes"]["voiced"]
    return found


def metrics(members: Sequence[Scored]) -> dict[str, Any]:
    """Means over the clips of some conditions, beside their controls; intervals are over prompts.

    All targets share one unsteered clip a prompt, so the prompt is what a repetition would draw anew.
    """
    valued = [_valued(one) for one in members]
    names = dict.fromkeys(name for one in valued for line in one.lines for name in line["values"])
    chance = {name: value for name in names if (value := _chance(name)) is not None}
    return beside_controls(valued, {name: _count(name) for name in names}, chance)


def _valued(one: Scored) -> Scored:
    """The condition and what it stands beside, each clip held against the condition's own target."""

    def against(lines: Sequence[Line]) -> list[Line]:
        return [{ITEM: line[ITEM], "values": clip_values(line, one.own["target"])} for line in lines]

    return replace(
        one,
        lines=against(one.lines),
        unsteered=one.unsteered and against(one.unsteered),
        controls={kind: [against(run) for run in runs] for kind, runs in one.controls.items()},
    )


def _count(name: str) -> Count:
    return lambda line: share(line["values"].get(name))


def _chance(metric: str) -> float | None:
    attribute = metric.split(".")[0]
    return 1 / len(ATTRIBUTES[attribute].labels) if attribute in ATTRIBUTES else None


def needed(evaluate: Sequence[str]) -> tuple[str, ...]:
    """The evaluators behind a recipe's list: `adherence` takes those of what a prompt may state.

    `evaluate`: names of evaluators, and `adherence`.
    """
    more = [ATTRIBUTES[name].evaluator for name in STATED] if ADHERENCE in evaluate else []
    return tuple(dict.fromkeys([name for name in evaluate if name != ADHERENCE] + more))


def adherence(readings: Mapping[str, Reading], truth: Mapping[str, str]) -> dict[str, float | None]:
    """For each attribute that the prompt states and an evaluator reads, whether the clip has it."""
    known = {name: ATTRIBUTES[name] for name in truth if name in ATTRIBUTES and ATTRIBUTES[name].evaluator in readings}
    return {name: one.scores(readings, truth[name])["hit"] for name, one in known.items()}


def problems(evaluate: Sequence[str], conditions: Sequence[Condition]) -> list[Problem]:
    """What is wrong with evaluators and targets.

    `evaluate`: names of evaluators, and `adherence`.
    `conditions`: the recipe's conditions.
    """
    return _evaluators(evaluate) + _targets(evaluate, conditions)


def metric_names(evaluate: Sequence[str], conditions: Sequence[Condition]) -> tuple[str, ...]:
    """The metrics of the targets and evaluators.

    `evaluate`: names of evaluators, and `adherence`.
    `conditions`: the recipe's conditions.
    """
    known = {name: ATTRIBUTES[name] for one in conditions for name in one.own["target"] if name in ATTRIBUTES}
    hits = [f"{name}.hit" for name in known]
    shares = [f"{name}.share" for name, target in known.items() if target.share]
    told = [ADHERENCE] if ADHERENCE in evaluate else []
    return (*hits, *shares, *told, *(["voiced"] if "notes" in needed(evaluate) else []))


def _evaluators(evaluate: Sequence[str]) -> list[Problem]:
    known = [*EVALUATORS, ADHERENCE]
    return [
        Problem(("evaluate", at), f"no evaluator {name!r}{did_you_mean(name, known)} (choose from {', '.join(known)})")
        for at, name in enumerate(evaluate)
        if name not in known
    ]


def _targets(evaluate: Sequence[str], conditions: Sequence[Condition]) -> list[Problem]:
    found: dict[Any, Problem] = {}
    for condition in conditions:
        for attribute, label in condition.own["target"].items():
            message = _target_problem(evaluate, attribute, label)
            if message:
                place = (*condition.place, "target", attribute)
                found.setdefault(place, Problem(place, message))
    return list(found.values())


def _target_problem(evaluate: Sequence[str], attribute: str, label: str) -> str | None:
    if attribute not in ATTRIBUTES:
        return f"no attribute {attribute!r}{did_you_mean(attribute, ATTRIBUTES)} (choose from {', '.join(ATTRIBUTES)})"
    target = ATTRIBUTES[attribute]
    if label not in target.labels:
        return f"no {attribute} {label!r}{did_you_mean(label, target.labels)} (choose from {', '.join(target.labels)})"
    if target.evaluator not in needed(evaluate):
        return f"nobody listens for it; add {target.evaluator} to evaluate"
    return None
