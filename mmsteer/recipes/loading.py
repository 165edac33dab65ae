"""A recipe's name → one document: what it extends, and what the command line changes, laid over one another."""

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmsteer.document import MAX_DEPTH, Document, Mark, Place, parse_document, read_document
from mmsteer.errors import RecipeError, clip, shorten
from mmsteer.library import library

MAX_PARENTS = 8
_PLACE = re.compile(r"[0-9]{1,6}")


def load_document(name: str | Path, overrides: Sequence[str] = ()) -> Document:
    """Read a recipe with everything it extends, and apply overrides.

    `name`: A file, or the name of a recipe that comes with mmsteer.
    `overrides`: lines `a.b.c=value`; the value is YAML.

    Raises:
        RecipeError: A file or an override cannot be read.
    """
    document = _extended(find_recipe(name), ())
    for line in overrides:
        document = _overridden(document, line)
    return document


def kind_of(name: str | Path, overrides: Sequence[str] = ()) -> object:
    """What a recipe gives as its `kind`, not yet checked, so that only what this kind needs is imported.

    `name`: A file, or the name of a recipe that comes with mmsteer.
    `overrides`: lines `a.b.c=value`.

    Raises:
        RecipeError: A file or an override cannot be read.
    """
    return load_document(name, overrides).data.get("kind")


def recipe_files() -> tuple[Path, ...]:
    """The recipes that come with mmsteer."""
    return tuple(sorted(library("recipes").glob("*.yaml")))


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe.

    `name`: A file, or the name of a recipe that comes with mmsteer.

    Raises:
        RecipeError: There is no such recipe.
    """
    if os.path.isfile(name):
        return Path(name)
    shipped = {file.stem: file for file in recipe_files()}
    stem = str(name).removesuffix(".yaml")
    if stem in shipped:
        return shipped[stem]
    raise RecipeError(
        f"no recipe {clip(str(name))}: there is no such file, and none of that name comes with mmsteer"
        f"{did_you_mean(stem, shipped)}; `mmsteer recipes list` shows them all"
    )


def place_of(path: str, home: Path) -> Path:
    """The whole path of a file that a recipe names: what lies beside the recipe goes first, then what lies here.

    `path`: as the recipe writes it.
    """
    beside = home / path
    return _whole(beside if os.path.exists(beside) else Path(path))


def missing_beside(path: str, home: Path) -> Path | None:
    """Where beside the recipe a file was looked for that is neither there nor here; None for one that there is.

    `path`: as the recipe writes it.
    """
    beside, here = _whole(home / path), place_of(path, home)
    return None if here == beside or os.path.exists(here) else beside


def _whole(path: Path) -> Path:
    try:
        return path.resolve()
    except ValueError:  # a null character, which no name has: who opens it says so
        return path.absolute()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word, or nothing.

    `word`: what was written.
    `known`: what could have been meant.

    >>> did_you_mean("guidence", ["guidance", "seconds"])
    ", did you mean 'guidance'?"
    """
    close = difflib.get_close_matches(word[:200], list(known), n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else ""


def _extended(path: Path, children: tuple[Path, ...]) -> Document:
    path = path.resolve() if path.is_symlink() else path
    if path.resolve() in children or len(children) > MAX_PARENTS:
        chain = " -> ".join(str(child) for child in (*children, path))
        raise RecipeError(f"{path}: recipes extend one another in a circle, or too deeply: {chain}")
    document = read_document(path)
    if not isinstance(document.data, dict):
        raise RecipeError(f"{document.mark(())}: a recipe is a mapping, such as 'kind: music'")
    if "extends" not in document.data:
        return document
    parent = document.data["extends"]
    if not isinstance(parent, str):
        raise RecipeError(f"{document.mark(('extends',))}: extends names one other recipe, not {clip(parent)}")
    beside = path.parent / parent
    base = _extended(beside if os.path.isfile(beside) else find_recipe(parent), (*children, path.resolve()))
    own = {key: value for key, value in document.data.items() if key != "extends"}
    return _laid_over(base, Document(own, document.marks))


def _laid_over(base: Document, top: Document) -> Document:
    """Mappings meet key by key; anything else of the top replaces what lies below."""
    marks = dict(base.marks)
    data = _merge(base.data, top.data, (), marks, top)
    return Document(data, marks)


def _merge(below: Any, above: Any, place: Place, marks: dict[Place, Mark], top: Document) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        marks[place] = top.mark(place)
        both = dict(below)
        for key, value in above.items():
            both[key] = _merge(below.get(key), value, (*place, key), marks, top)
        return both
    _replace_marks(place, marks, top)
    return above


def _replace_marks(place: Place, marks: dict[Place, Mark], top: Document) -> None:
    for old in [other for other in marks if other[: len(place)] == place]:
        del marks[old]
    marks |= {other: mark for other, mark in top.marks.items() if other[: len(place)] == place}


def _overridden(document: Document, line: str) -> Document:
    way, equals, text = line.partition("=")
    if not equals or not all(way.split(".")) or way.count(".") >= MAX_DEPTH:
        raise RecipeError(f"cannot read {clip(line)}; write a.b.c=value, such as generate.seconds=2")
    source = f"command line, {shorten(line)}"
    value = parse_document(text, source).data if text.strip() else None
    place: Place = tuple(int(part) if _PLACE.fullmatch(part) else part for part in way.split("."))
    data = _placed(document.data, place, value, line)
    marks = dict(document.marks)
    _replace_marks(place, marks, Document(value, {place: Mark(source)}))
    return Document(data, marks)


def _placed(data: Any, place: Place, value: Any, line: str) -> Any:
    if not place:
        return value
    key, *rest = place
    if isinstance(data, list):
        if not isinstance(key, int) or key >= len(data):
            raise RecipeError(f"{clip(line)}: {clip(key)} is no place in a list of {len(data)}; count from 0")
        return [_placed(item, tuple(rest), value, line) if at == key else item for at, item in enumerate(data)]
    if isinstance(data, dict) or data is None:
        known = dict(data or {})
        return known | {str(key): _placed(known.get(str(key)), tuple(rest), value, line)}
    raise RecipeError(f"{clip(line)}: {clip(data)} has no parts, so {clip(key)} cannot be set in it")
