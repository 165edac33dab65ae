"""All that is wrong with a recipe, each with its line and what was probably meant."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from mmsteer.document import Document, Place
from mmsteer.errors import MmsteerError
from mmsteer.recipes.loading import did_you_mean

MOST = 100
"""Problems of the form of a recipe that are put into words."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    `place`: the way to it in the recipe.
    `message`: what came, what is allowed, what to do.
    """

    place: Place
    message: str


def complaints(check: Callable[..., object], *of: Any, name: str = "") -> list[str]:
    """What a check refuses, in its words behind a name; nothing where it refuses nothing."""
    try:
        check(*of)
    except MmsteerError as cause:
        return [f"{name}{cause}"]
    return []


def refusal(document: Document, problems: Sequence[Problem]) -> str:
    """All problems as one message, each on a line of its own.

    `document`: the recipe, which knows its lines.
    `problems`: what is wrong with it.
    """
    lines = [f"{document.mark(one.place)}: {_written(one.place)}{one.message}" for one in problems]
    # The rest of a message of several lines, such as a pointer into a schedule, is indented.
    return "\n".join(line.replace("\n", "\n    ") for line in dict.fromkeys(lines))


def schema_problems(model: type[BaseModel], data: Any, error: ValidationError) -> list[Problem]:
    """What pydantic found, in the words of a recipe; of more than a hundred problems the first ones, and how many more.

    Args:
        model: The schema.
        data: What was checked against it.
        error: What pydantic raised.
    """
    schema = model.model_json_schema()
    errors = [one for one in error.errors(include_url=False) if not _follows(one, data)]
    found = [_problem(schema, data, one) for one in errors[:MOST]]
    more = [Problem((), f"and {len(errors) - MOST} more problems")] if len(errors) > MOST else []
    return [one for one in found if one is not None] + more


def _follows(error: Mapping[str, Any], data: Any) -> bool:
    """Whether a list only seems too short because its items are wrong."""
    return error["type"] == "too_short" and bool(_part(data, _place(error["loc"], data, missing=False)))


def _problem(schema: Mapping[str, Any], data: Any, error: Mapping[str, Any]) -> Problem | None:
    place = _place(error["loc"], data, missing=error["type"] == "missing")
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = sorted(_keys(schema, schema, place[:-1], data))
        return Problem(place, f"no such key{did_you_mean(str(place[-1]), known)} (keys here: {', '.join(known)})")
    if error["type"] == "missing":
        known = sorted(_keys(schema, schema, place[:-1], data))
        return None if _misspelt(place, data, known) else Problem(place, "this key is missing")
    if error["type"] == "union_tag_not_found":
        key = str(error["ctx"]["discriminator"]).strip("'")
        return Problem((*place, key), "this key is missing; it says which kind this is")
    shown = repr(error["input"])
    return Problem(place, f"{error['msg']}, got {shown if len(shown) < 80 else shown[:77] + '...'}")


def _misspelt(place: Place, data: Any, known: Sequence[str]) -> bool:
    """Whether an unknown key stands for the missing one: then one message is enough."""
    there = _part(data, place[:-1])
    strangers = [key for key in there if key not in known] if isinstance(there, dict) else []
    return any(difflib.get_close_matches(key, known, n=1, cutoff=0.6) == [place[-1]] for key in strangers)


def _place(loc: Sequence[str | int], data: Any, *, missing: bool) -> Place:
    """The way through the data: pydantic also names the branches of unions, which are not written anywhere."""
    place: list[str | int] = []
    for at, part in enumerate(loc):
        inside = _has(data, part)
        if inside:
            data = data[part]
        if inside or (missing and at == len(loc) - 1):
            place.append(part)
    return tuple(place)


def _keys(schema: Mapping[str, Any], node: Mapping[str, Any], place: Place, data: Any) -> set[str]:
    """The keys that may stand at a place, over all forms that it may take."""
    if "$ref" in node:
        return _keys(schema, schema["$defs"][str(node["$ref"]).rsplit("/", 1)[-1]], place, data)
    forms = node.get("anyOf") or node.get("oneOf")
    if forms:
        whole = [_resolved(schema, form) for form in forms]
        fitting = [form for form in whole if _fits(form, data)]
        return set().union(*(_keys(schema, form, place, data) for form in fitting or whole))
    if not place:
        return set(node.get("properties", ()))
    key, *rest = place
    below = node.get("items") if isinstance(key, int) else node.get("properties", {}).get(key)
    return _keys(schema, below, tuple(rest), _part(data, (key,))) if below else set()


def _resolved(schema: Mapping[str, Any], form: Mapping[str, Any]) -> Mapping[str, Any]:
    return schema["$defs"][str(form["$ref"]).rsplit("/", 1)[-1]] if "$ref" in form else form


def _fits(form: Mapping[str, Any], data: Any) -> bool:
    """Whether the data could be meant for this form: the key that tells the forms apart is there."""
    name, first = next(iter(form.get("properties", {"": {}}).items()))
    return isinstance(data, dict) and name in data and first.get("const", data[name]) == data[name]


def _part(data: Any, place: Place) -> Any:
    for key in place:
        data = data[key] if _has(data, key) else None
    return data


def _has(data: Any, key: str | int) -> bool:
    return (isinstance(data, dict) and key in data) or (
        isinstance(data, list) and isinstance(key, int) and key < len(data)
    )


def _written(place: Place) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return f"{text.removeprefix('.')}: " if text else ""
