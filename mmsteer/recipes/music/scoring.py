"""Finished clips → scores: what each clip adds to the mean of each metric, under the target of its condition."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmsteer.eval.attributes import ATTRIBUTES, Reading
from mmsteer.recipes.beside import Count, beside_controls, share
from mmsteer.recipes.scoring import Line, Scored, mean

ADHERENCE = "adherence"
STATED = ("instrument", "tempo", "register")
"""What `adherence` reads."""


def clip_values(clip: Line, target: Mapping[str, str]) -> dict[str, float | None]:
    """Every number that one clip gives; None where it cannot be told.

    Args:
        clip: A line of `samples.jsonl`.
        target: What the audio should have.
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

    Args:
        members: The conditions.
    """
    valued = [_valued(one) for one in members]
    names = dict.fromkeys(name for one in valued for line in one.lines for name in line["values"])
    chance = {name: value for name in names if (value := _chance(name)) is not None}
    return beside_controls(valued, {name: _count(name) for name in names}, "prompt", chance)


def _valued(one: Scored) -> Scored:
    """The condition and what it stands beside, each clip held against the condition's own target."""

    def against(lines: Sequence[Line]) -> list[Line]:
        return [{"prompt": line["prompt"], "values": clip_values(line, one.own["target"])} for line in lines]

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


def needed(evaluate: tuple[str, ...]) -> tuple[str, ...]:
    """The evaluators behind a recipe's list: `adherence` takes those of what a prompt may state.

    Args:
        evaluate: Names of evaluators, and `adherence`.
    """
    more = [ATTRIBUTES[name].evaluator for name in STATED] if ADHERENCE in evaluate else []
    return tuple(dict.fromkeys([name for name in evaluate if name != ADHERENCE] + more))


def adherence(readings: Mapping[str, Reading], truth: Mapping[str, str]) -> dict[str, float | None]:
    """For each attribute that the prompt states and an evaluator reads, whether the clip has it.

    Args:
        readings: What was read.
        truth: What the prompt states.
    """
    known = {name: ATTRIBUTES[name] for name in truth if name in ATTRIBUTES and ATTRIBUTES[name].evaluator in readings}
    return {name: one.scores(readings, truth[name])["hit"] for name, one in known.items()}
