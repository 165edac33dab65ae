"""The kinds of recipes."""

from collections.abc import Mapping
from typing import Any

from mmsteer.recipes.kind import Kind
from mmsteer.recipes.music import kind as music
from mmsteer.recipes.rows import kind as rows
from mmsteer.recipes.vision import kind as vision

KINDS: Mapping[str, Kind] = {"music": music, "vision": vision, "text": rows, "image": rows}


def kind_of(recipe: Mapping[str, Any]) -> Kind | None:
    """What reads a recipe: rows of one's own are read alike whatever the model makes; None where there is no such kind.

    Args:
        recipe: The recipe as plain data.
    """
    kind = recipe.get("kind")
    return rows if kind == "music" and "data" in recipe else KINDS.get(str(kind))


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of each kind of recipe; the three kinds that may be on rows of one's own share one.

    Raises:
        RuntimeError: Two kinds give different parts one name, so that no document could hold both.
    """
    found = {
        "music": music.SCHEMA.model_json_schema(),
        "vision": vision.SCHEMA.model_json_schema(),
        "rows (text, image, or music with data)": rows.SCHEMA.model_json_schema(),
    }
    parts: dict[str, Any] = {}
    for schema in found.values():
        for name, part in schema["$defs"].items():
            if parts.setdefault(name, part) != part:
                raise RuntimeError(f"two kinds of recipes have different parts {name}; rename one of the classes")
    return found


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors; a recipe that extends another may leave out what that one says."""
    parts = schemas().values()
    definitions = {name: part for schema in parts for name, part in schema.pop("$defs").items()}
    own, seen, data = map(_extending, parts)
    cases = [
        _case({"kind": {"const": "music"}}, own, {"required": ["data"]}),
        _case({"kind": {"const": "vision"}}, seen),
        _case({"kind": {"enum": ["text", "image"]}}, data),
        _case({"kind": {"const": "music"}, "data": True}, data),
    ]
    whole = [*cases, {"anyOf": [{"required": ["extends"]}, {"properties": {"kind": {"enum": list(KINDS)}}}]}]
    return {"title": "mmsteer recipe", "type": "object", "allOf": whole, "$defs": definitions}


def _case(properties: dict[str, Any], then: dict[str, Any], but: dict[str, Any] | None = None) -> dict[str, Any]:
    condition: dict[str, Any] = {"properties": properties, "required": list(properties)}
    return {"if": condition | ({"not": but} if but else {}), "then": then}


def _extending(schema: dict[str, Any]) -> dict[str, Any]:
    schema["properties"]["extends"] = {"type": "string", "description": "another recipe that this one is laid over"}
    required = schema.pop("required")
    return schema | {"anyOf": [{"required": ["extends"]}, {"required": required}]}
