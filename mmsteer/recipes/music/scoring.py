"""Finished clips → scores: each condition beside the unsteered run, a random direction, and chance."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmsteer.eval.attributes import ATTRIBUTES, Reading
from mmsteer.recipes.scoring import Line, Scored, mean
from mmsteer.types import mean_score, paired_score

ADHERENCE = "adherence"
STATED = ("instrument", "tempo", "register")
"""What `adherence` reads."""

Values = list[float | None]
Json = dict[str, Any] | None


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
        told = [value for value in clip["adherence"].values() if value is not None]
        found["adherence"] = sum(told) / len(told) if told else None
    if "notes" in readings:
        found["voiced"] = readings["notes"]["voiced"]
    return found


def metrics(members: Sequence[Scored]) -> dict[str, Any]:
    """Means over the clips of some conditions, beside their controls; intervals are over prompts.

    Args:
        members: The conditions.
    """
    steered, unsteered, random = (_gathered(members, part) for part in (_steered, _unsteered, _random))
    # All targets share one unsteered clip a prompt, so the prompt is what a repetition would draw anew.
    prompts = [clip["prompt"] for one in members for clip in one.lines]

    def of(values: Values | None) -> Json:
        return mean_score(values, groups=prompts).to_json() if values else None

    def change(after: Values | None, before: Values | None) -> Json:
        return paired_score(after, before, groups=prompts).to_json() if after and before else None

    return {
        metric: {
            "steered": of(values),
            "unsteered": of(unsteered.get(metric)),
            "difference": change(values, unsteered.get(metric)),
            "random": of(random.get(metric)),
            "random_difference": change(random.get(metric), unsteered.get(metric)),
            "chance": _chance(metric),
        }
        for metric, values in steered.items()
    }


def _gathered(members: Sequence[Scored], part: Any) -> dict[str, Values]:
    """For each metric the values of all clips of all members, in one order for every part."""
    gathered: dict[str, Values] = {}
    for one in members:
        for clip in part(one):
            for metric, value in clip.items():
                gathered.setdefault(metric, []).append(value)
    return gathered


def _steered(one: Scored) -> list[dict[str, float | None]]:
    return [clip_values(clip, one.own["target"]) for clip in one.lines]


def _unsteered(one: Scored) -> list[dict[str, float | None]]:
    return [clip_values(clip, one.own["target"]) for clip in one.unsteered or ()]


def _random(one: Scored) -> list[dict[str, float | None]]:
    """The mean over the random directions, prompt by prompt."""
    rounds = [[clip_values(clip, one.own["target"]) for clip in control] for control in one.controls["random"]]
    return [{metric: mean(clip[metric] for clip in same) for metric in same[0]} for same in zip(*rounds, strict=True)]


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
