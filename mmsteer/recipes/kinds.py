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


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors; a recipe that extends another may leave out what that one says."""
    schemas = {name: _schema(kind) for name, kind in KINDS.items()}
    definitions = {name: part for schema in schemas.values() for name, part in schema.pop("$defs").items()}
    cases = [
        {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": schema}
        for kind, schema in schemas.items()
    ]
    whole = [*cases, {"anyOf": [{"required": ["extends"]}, {"properties": {"kind": {"enum": list(KINDS)}}}]}]
    return {"title": "mmsteer recipe", "type": "object", "allOf": whole, "$defs": definitions}


def _schema(kind: Kind) -> dict[str, Any]:
    schema = kind.SCHEMA.model_json_schema()
    schema["properties"]["extends"] = {"type": "string", "description": "another recipe that this one is laid over"}
    required = schema.pop("required")
    return schema | {"anyOf": [{"required": ["extends"]}, {"required": required}]}
