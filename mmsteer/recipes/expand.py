"""The conditions of a recipe: every combination of every sweep, with the variables put in."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmsteer.document import Place
from mmsteer.errors import MmsteerError
from mmsteer.recipes.part import Value
from mmsteer.recipes.plan import NOTHING, UNSTEERED, Condition
from mmsteer.recipes.problems import Problem
from mmsteer.recipes.schema import Conditions, SteerMapping
from mmsteer.steering.attribute import SUFFIXES
from mmsteer.steering.names import lines, quoted

MOST = 10_000
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_WORDS = {"positions": "at", "sites": "on", "weights": "weights", "operator": "by", "branch": "branch", "gate": "when"}


class _Unknown(Exception):
    """A variable without a value."""


def expand(tables: Sequence[Conditions]) -> tuple[tuple[Condition, ...], list[Problem]]:
    """All conditions, and what is wrong with them."""
    conditions: list[Condition] = []
    problems: list[Problem] = []
    for at, table in enumerate(tables):
        place: Place = ("conditions", at)
        size = 1
        for choices in table.sweep.values():
            size *= len(choices)
        if size > MOST:
            problems.append(Problem((*place, "sweep"), f"{size} combinations; a sweep has at most {MOST}"))
            continue
        try:
            conditions += [_condition(table, values, place) for values in _combinations(table)]
        except _Unknown as cause:
            known = ", ".join(table.sweep) or "none"
            problems.append(Problem(place, f"no variable {str(cause)!r} in the sweep (variables here: {known})"))
        except MmsteerError as cause:
            problems.append(Problem((*place, "steer"), str(cause)))
    return tuple(conditions), problems + _repeated(conditions) + _like_controls(conditions)


def _combinations(table: Conditions) -> list[dict[str, Value]]:
    return [dict(zip(table.sweep, values, strict=True)) for values in itertools.product(*table.sweep.values())]


def _condition(table: Conditions, values: Mapping[str, Value], place: Place) -> Condition:
    written = table.model_dump(include=set(NOTHING), exclude_none=True)
    return Condition(
        name=_filled(table.name, values),
        values=values,
        lines=tuple(line for item in table.steer for line in _lines(_filled(_line(item), values))),
        compose=table.compose,
        budget=table.budget,
        kl=table.calibrate.kl if table.calibrate else None,
        own={**NOTHING, **_filled_all(written, values)},
        place=place,
    )


def _lines(text: str) -> list[str]:
    """A text's lines; one of semicolons alone stays as it is, to be refused."""
    return lines(text) or [text]


def _line(item: SteerMapping | str) -> str:
    """The mapping form as a line: both are read by one grammar."""
    if isinstance(item, str):
        return item
    strength = item.strength if isinstance(item.strength, str) else repr(item.strength)
    line = f"{quoted(item.direction)} {strength}{SUFFIXES[item.unit]} {item.schedule}"
    given = {word: getattr(item, field) for field, word in _WORDS.items() if getattr(item, field) is not None}
    return line + "".join(f" {word} {value}" for word, value in given.items())


def _filled_all(part: Any, values: Mapping[str, Value]) -> Any:
    """Plain data with its variables put in; a text that is one variable becomes that value, number or not."""
    if isinstance(part, dict):
        return {_filled(key, values): _filled_all(item, values) for key, item in part.items()}
    if not isinstance(part, str):
        return part
    match = _VARIABLE.fullmatch(part)
    return values[match[1]] if match and match[1] in values else _filled(part, values)


def _filled(text: str, values: Mapping[str, Value]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise _Unknown(match[1])
        found = values[match[1]]
        return str(found).lower() if isinstance(found, bool) else str(found)

    return _VARIABLE.sub(value, text)


def _repeated(conditions: list[Condition]) -> list[Problem]:
    seen: dict[str, Condition] = {}
    problems: list[Problem] = []
    for one in conditions:
        if one.name in seen:
            unsaid = [key for key in one.values if one.values[key] != seen[one.name].values.get(key)]
            hint = f"; put {{{unsaid[0]}}} into the name" if unsaid else ""
            problems.append(Problem((*one.place, "name"), f"two conditions are called {one.name!r}{hint}"))
        seen.setdefault(one.name, one)
    return problems[:1]


def _like_controls(conditions: list[Condition]) -> list[Problem]:
    """A control stands beside the conditions under its own name, such as `random 1 as C`."""
    ends = tuple(f" as {one.name}" for one in conditions)
    taken = [one for one in conditions if one.name == UNSTEERED or one.name.endswith(ends)]
    return [Problem((*one.place, "name"), f"{one.name!r} is the name of a control; take another") for one in taken[:1]]
