"""Finished conditions → `scores.json`: a row for each, and one for each group that differs in its target alone."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Line = Mapping[str, Any]
ITEM = "example"
"""The key of a line that says which item it is about."""
Scores = Callable[[Sequence["Scored"]], dict[str, Any]]


@dataclass(frozen=True)
class Scored:
    """A condition and what it stands beside.

    Attributes:
        name: Its name.
        values: The variables of its sweep.
        own: What only its kind of recipe knows, such as the target of its sound.
        group: What it shares with the conditions that differ from it in their target alone.
        lines: Its finished lines of `samples.jsonl`, in the order of the items.
        unsteered: The same items without steering; None where the recipe leaves that out.
        controls: The same items under the controls of each kind.
        kl: Mean divergence a token, in nats.
        ratio: Norm of the change over the norm of the state.
    """

    name: str
    values: Mapping[str, Any]
    own: Mapping[str, Any]
    group: Hashable
    lines: Sequence[Line]
    unsteered: Sequence[Line] | None
    controls: Mapping[str, Sequence[Sequence[Line]]]
    kl: float | None
    ratio: float | None


def score_conditions(conditions: Sequence[Scored], scores: Scores) -> dict[str, Any]:
    """The content of `scores.json`.

    `conditions`: all steered conditions.
    `scores`: what is measured on some of them, pooled; at least `metrics`.
    """
    groups: dict[Hashable, list[Scored]] = {}
    for one in conditions:
        groups.setdefault(one.group, []).append(one)
    several = [members for members in groups.values() if len(members) > 1]
    return {
        "rows": [_row(one.name, [one], one.values, scores) for one in conditions],
        "summaries": [_row(_shared_name(members), members, _shared(members), scores) for members in several],
    }


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is known; None where nothing is.

    `values`: numbers, and None for what is not known.
    """
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _row(name: str, members: Sequence[Scored], values: Mapping[str, Any], scores: Scores) -> dict[str, Any]:
    own = {key: value if len(members) == 1 else None for key, value in members[0].own.items()}
    return {
        "condition": name,
        "conditions": [one.name for one in members],
        "values": dict(values),
        **own,
        "kl": mean(one.kl for one in members),
        "ratio": mean(one.ratio for one in members),
        **scores(members),
    }


def _shared(members: Sequence[Scored]) -> dict[str, Any]:
    first = members[0].values
    return {key: value for key, value in first.items() if all(one.values.get(key) == value for one in members)}


def _shared_name(members: Sequence[Scored]) -> str:
    shared = ", ".join(f"{key} {value}" for key, value in _shared(members).items())
    return f"{len(members)} targets{f', {shared}' if shared else ''}"
