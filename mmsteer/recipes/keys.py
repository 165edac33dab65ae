"""Every key of a recipe as tables in Markdown, from the schemas: what `mmsteer recipes keys` prints."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmsteer.recipes.schema import Recipe

Schema = Mapping[str, Any]
TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}
LARGE = 1_000_000
"""Bounds from here on only keep numbers within a machine's reach, and are not shown."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors; a recipe that extends another may leave out what that one says."""
    schema = _described()
    schema["properties"]["extends"] = {"type": "string", "description": "another recipe that this one is laid over"}
    required = schema.pop("required")
    return schema | {"title": "mmsteer recipe", "anyOf": [{"required": ["extends"]}, {"required": required}]}


def key_tables() -> str:
    """A table of the keys of a recipe, then one of each of its parts, which link to one another."""
    schema = _described()
    parts = schema["$defs"]
    whole = _section("###", "Recipe", schema, parts)
    return "\n".join([whole, "## Parts\n", *(_section("###", name, parts[name], parts) for name in sorted(parts))])


def _described() -> dict[str, Any]:
    schema = Recipe.model_json_schema()
    for part in schema["$defs"].values():
        _put_in_words(part)
    return schema


def _put_in_words(part: dict[str, Any]) -> None:
    """Describe a dataclass by its docstring: the opening, and what `Attributes` says of each key."""
    opening, _, attributes = part.get("description", "").partition("\n\nAttributes:\n")
    if attributes:
        part["description"] = opening.partition("\n\n")[0]
        part["required"] = [key for key, value in part["properties"].items() if "const" in value]
        for key, words in re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE):
            part["properties"].get(key, {}).setdefault("description", " ".join(words.split()))


def _section(level: str, name: str, schema: Schema, parts: Mapping[str, Schema]) -> str:
    rows = [_row(key, value, key in schema.get("required", ()), parts) for key, value in schema["properties"].items()]
    about = " ".join(schema.get("description", "").split())
    return "\n".join([f"{level} {name}\n", f"{about}\n", "| key | value | |", "|---|---|---|", *rows, ""])


def _row(key: str, schema: Schema, required: bool, parts: Mapping[str, Schema]) -> str:
    default = schema.get("default")
    usual = "" if required or default in (None, {}, [], "") else f" Usual: `{_written(default)}`."
    optional = "" if required else ", may be left out"
    part = parts.get(str(schema.get("$ref", "")).rsplit("/", 1)[-1], {})
    about = _cell(schema.get("description") or part.get("description", ""))
    return f"| `{key}` | {_value(schema)}{optional} | {about}{usual} |"


def _value(schema: Schema) -> str:
    """What may stand there, in words."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{_written(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{_written(one)}`" for one in schema["enum"])
    forms = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if forms:
        return " or ".join(dict.fromkeys(map(_value, forms)))
    if schema.get("type") == "array":
        return f"list of {_value(schema['items'])}" if "items" in schema else _pair(schema)
    if schema.get("type") == "object":
        values = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
        return f"mapping to {' or '.join(_value(one) for one in values if isinstance(one, dict))}"
    return " ".join([TYPES.get(str(schema.get("type")), "any value"), *_bounds(schema)])


def _pair(schema: Schema) -> str:
    return "list of " + ", ".join(_value(one) for one in schema.get("prefixItems", ()))


def _bounds(schema: Schema) -> Iterator[str]:
    for key, word in BOUNDS.items():
        if key in schema and abs(schema[key]) < LARGE:
            yield f"{word} {schema[key]:g}"


def _written(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool | None) else str(value)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
