"""Finished clips → scores: what each clip adds to the mean of each metric, under the target of its condition."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmsteer.recipes.beside import Count, beside_controls, share
from mmsteer.recipes.music.judging import TARGETS
from mmsteer.recipes.scoring import Line, Scored, mean


def clip_values(clip: Line, target: Mapping[str, str]) -> dict[str, float | None]:
    """Every number that one clip gives; None where it cannot be told.

    Args:
        clip: A line of `samples.jsonl`.
        target: What the audio should have.
    """
    readings = clip["readings"]
    found: dict[str, float | None] = {}
    for attribute, label in target.items():
        scores = TARGETS[attribute].scores(readings, label)
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
    return 1 / len(TARGETS[attribute].labels) if attribute in TARGETS else None
