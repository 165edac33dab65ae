"""YAML as data that knows where each part was written.

Only what a recipe needs is read: mappings, lists, text, numbers, true, false and null, by the rules of YAML 1.2, so
that `on` is a word and `1e-3` a number. Anchors, tags, repeated keys and files without measure are refused.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mmsteer.errors import RecipeError, clip
from mmsteer.regular_file import open_regular

MAX_BYTES = 256 * 1024
MAX_DEPTH = 24
MAX_PARTS = 20_000
"""Keys and values of a recipe."""

Place = tuple[str | int, ...]
"""The way to a part of a document: keys of mappings and indices of lists."""


@dataclass(frozen=True)
class Mark:
    """Where something was written.

    Attributes:
        source: A file, or what was given on the command line.
        line: Line number counted from 1; None on the command line.
    """

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True)
class Document:
    """Data with the place where each part was written.

    Attributes:
        data: Mappings, lists and plain values.
        marks: For the way to each part, where it stands.
    """

    data: Any
    marks: Mapping[Place, Mark] = field(default_factory=dict)

    def mark(self, place: Place) -> Mark:
        """Where a part stands, or the nearest part around it.

        Args:
            place: The way to the part, which need not exist.
        """
        while place and place not in self.marks:
            place = place[:-1]
        return self.marks[place]


def read_document(path: Path) -> Document:
    """Read one YAML file.

    Raises:
        RecipeError: The file is missing, too large, or no plain YAML; the message names the line.
    """
    with open_regular(path, RecipeError, "`mmsteer recipes list` shows the recipes that come with mmsteer") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise RecipeError(f"{path}: too large; a recipe has at most {MAX_BYTES} bytes")
    try:
        return parse_document(data.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as cause:
        raise RecipeError(f"{path}: cannot be read as text: {cause}") from None


def parse_document(text: str, source: str) -> Document:
    """Read YAML.

    Args:
        text: The YAML.
        source: What to call it in messages.

    Raises:
        RecipeError: The text is no plain YAML; the message names the line.
    """
    try:
        node = _Loader(text, source).get_single_node()
    except yaml.MarkedYAMLError as cause:
        line = cause.problem_mark.line + 1 if cause.problem_mark else 1
        raise RecipeError(f"{source}:{line}: not YAML: {cause.problem}") from None
    except yaml.YAMLError as cause:
        raise RecipeError(f"{source}: not YAML: {str(cause).splitlines()[0]}") from None
    except (ValueError, OverflowError) as cause:  # an escape such as "\\UFFFFFFFF", which is no character
        raise RecipeError(f"{source}: not YAML: {cause}") from None
    if node is None:
        raise RecipeError(f"{source}: the file is empty")
    marks: dict[Place, Mark] = {}
    return Document(_build(node, (), source, marks), marks)


class _Loader(yaml.SafeLoader):
    """Plain values by the core schema of YAML 1.2; what could grow without measure is refused before it is built."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # yaml's own protocol

    def __init__(self, text: str, source: str) -> None:
        super().__init__(text)
        self._source, self._depth, self._parts = source, 0, 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next part, with all within it.

        Args:
            parent: The part around it.
            index: Where it is there.

        Raises:
            RecipeError: There is an anchor, an alias or a tag, the nesting is too deep, or there are too many parts.
        """
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._parts += 1
        refused = self._refused(event)
        if refused:
            raise RecipeError(f"{self._source}:{event.start_mark.line + 1}: {refused}")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refused(self, event: yaml.Event) -> str | None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            return "anchors and aliases are not read; write the value out"
        tag = getattr(event, "tag", None)
        if tag:
            return f"tags such as {clip(tag)} are not read; write the plain value"
        if self._depth >= MAX_DEPTH and isinstance(event, yaml.CollectionStartEvent):
            return f"more than {MAX_DEPTH} levels inside one another"
        return f"more than {MAX_PARTS} keys and values" if self._parts > MAX_PARTS else None


for _tag, _pattern, _first in (
    ("null", r"null|~|", [*"n~", ""]),
    ("bool", r"true|false", [*"tf"]),
    ("int", r"[-+]?\d{1,18}", [*"-+0123456789"]),
    ("float", r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?", [*"-+.0123456789"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)

_VALUES: Mapping[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text == "true",
    "int": int,
    "float": float,
    "str": str,
}


def _build(node: yaml.Node, place: Place, source: str, marks: dict[Place, Mark]) -> Any:
    mark = Mark(source, node.start_mark.line + 1)
    marks.setdefault(place, mark)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, source, marks)
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, (*place, index), source, marks) for index, child in enumerate(node.value)]
    return _VALUES[node.tag.removeprefix("tag:yaml.org,2002:")](node.value)


def _mapping(node: yaml.MappingNode, place: Place, source: str, marks: dict[Place, Mark]) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key_node, value_node in node.value:
        mark = Mark(source, key_node.start_mark.line + 1)
        if not isinstance(key_node, yaml.ScalarNode):
            raise RecipeError(f"{mark}: a key must be a word")
        key = str(key_node.value)
        if key in built:
            raise RecipeError(f"{mark}: {clip(key)} is written twice, first in line {marks[*place, key].line}")
        marks[*place, key] = mark
        built[key] = _build(value_node, (*place, key), source, marks)
    return built


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads back as it was."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def write_document(data: Any) -> str:
    """Plain data as YAML.

    Args:
        data: Mappings, lists and plain values.
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
