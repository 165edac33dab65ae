"""Finished clips → scores: each condition beside the unsteered run, a random direction, and chance."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmsteer.recipes.judging import TARGETS
from mmsteer.types import mean_score, paired_score

Line = Mapping[str, Any]
Values = Sequence[float | None]


@dataclass(frozen=True)
class Scored:
    """A condition and what it stands beside.

    Attributes:
        name: Its name.
        values: The variables of its sweep.
        target: What the audio should have.
        group: What it shares with the conditions that differ from it in their target alone.
        clips: Its finished clips, in the order of the prompts.
        unsteered: The same prompts without steering; None where the recipe leaves that out.
        random: The same prompts under each random control.
        kl: Mean divergence a token, in nats.
        ratio: Norm of the change over the norm of the state.
    """

    name: str
    values: Mapping[str, Any]
    target: Mapping[str, str]
    group: tuple[Any, ...]
    clips: Sequence[Line]
    unsteered: Sequence[Line] | None
    random: Sequence[Sequence[Line]]
    kl: float | None
    ratio: float | None


def score_conditions(conditions: Sequence[Scored]) -> dict[str, Any]:
    """The content of `scores.json`.

    Args:
        conditions: All steered conditions.
    """
    rows = [_row(one.name, [one], one.values) for one in conditions]
    groups: dict[tuple[Any, ...], list[Scored]] = {}
    for one in conditions:
        groups.setdefault(one.group, []).append(one)
    summaries = [
        _row(_shared_name(members), members, _shared(members)) for members in groups.values() if len(members) > 1
    ]
    return {"rows": rows, "summaries": summaries}


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
        told = [value for value in clip["adherence"].values() if value is not None]
        found["adherence"] = sum(told) / len(told) if told else None
    if "notes" in readings:
        found["voiced"] = readings["notes"]["voiced"]
    return found


def _row(name: str, members: Sequence[Scored], values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "condition": name,
        "conditions": [one.name for one in members],
        "values": dict(values),
        "target": dict(members[0].target) if len(members) == 1 else None,
        "kl": _mean(one.kl for one in members),
        "ratio": _mean(one.ratio for one in members),
        "metrics": _metrics(members),
    }


def _metrics(members: Sequence[Scored]) -> dict[str, Any]:
    steered, unsteered, random = (_gathered(members, part) for part in (_steered, _unsteered, _random))
    return {
        metric: {
            "steered": mean_score(values).to_json(),
            "unsteered": mean_score(unsteered[metric]).to_json() if unsteered else None,
            "difference": paired_score(values, unsteered[metric]).to_json() if unsteered else None,
            "random": mean_score(random[metric]).to_json() if random else None,
            "random_difference": paired_score(random[metric], unsteered[metric]).to_json()
            if random and unsteered
            else None,
            "chance": _chance(metric),
        }
        for metric, values in steered.items()
    }


def _gathered(members: Sequence[Scored], part: Any) -> dict[str, list[float | None]]:
    """For each metric the values of all clips of all members, in one order for every part."""
    gathered: dict[str, list[float | None]] = {}
    for one in members:
        for clip in part(one):
            for metric, value in clip.items():
                gathered.setdefault(metric, []).append(value)
    return gathered


def _steered(one: Scored) -> list[dict[str, float | None]]:
    return [clip_values(clip, one.target) for clip in one.clips]


def _unsteered(one: Scored) -> list[dict[str, float | None]]:
    return [clip_values(clip, one.target) for clip in one.unsteered or ()]


def _random(one: Scored) -> list[dict[str, float | None]]:
    """The mean over the random directions, prompt by prompt."""
    rounds = [[clip_values(clip, one.target) for clip in control] for control in one.random]
    return [{metric: _mean(clip[metric] for clip in same) for metric in same[0]} for same in zip(*rounds, strict=True)]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _chance(metric: str) -> float | None:
    attribute = metric.split(".")[0]
    return 1 / len(TARGETS[attribute].labels) if attribute in TARGETS else None


def _shared(members: Sequence[Scored]) -> dict[str, Any]:
    first = members[0].values
    return {key: value for key, value in first.items() if all(one.values.get(key) == value for one in members)}


def _shared_name(members: Sequence[Scored]) -> str:
    shared = ", ".join(f"{key} {value}" for key, value in _shared(members).items())
    return f"{len(members)} targets{f', {shared}' if shared else ''}"
