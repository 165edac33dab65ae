"""The changes that make a recipe small: everything in it still runs, on a handful of what it asks for."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmsteer.recipes.loading import load_document

SHOWN, LEARNED, TOKENS = 8, 24, 48
"""At most so many images or rows to report and to choose by, to learn directions from, and tokens an output."""
Place = tuple[str | int, ...]


def smoke_overrides(name: str | Path, overrides: Sequence[str] = ()) -> list[str]:
    """Lines `a.b.c=value` with which a recipe runs whole, and soon.

    Every direction is found, every condition with its controls is run and judged. Questions of files are about images
    that the small run does not show, so they are built from the truth instead.

    Args:
        name: A file, or the name of a recipe that comes with mmsteer.
        overrides: What the caller changes already, lines of the same form.

    Raises:
        RecipeError: A file or an override cannot be read.
    """
    data = load_document(name, overrides).data
    smaller = [f"{'.'.join(map(str, place))}={most}" for place, most in _too_many(data, ())]
    asked = data.get("ask")
    pope = asked.get("pope") if isinstance(asked, dict) else None
    if isinstance(pope, dict) and pope.get("files"):
        smaller.append("ask.pope.files={}")
    return [f"name={data.get('name')}-smoke", *smaller]


def _too_many(part: Any, place: Place) -> Iterator[tuple[Place, int]]:
    """Places of counts that are larger than a small run needs, with what it needs."""
    steps = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in steps:
        yield from _too_many(value, (*place, key))
        most = {"n": LEARNED if place[:1] == ("directions",) else SHOWN, "tokens": TOKENS}.get(str(key))
        if most is not None and isinstance(value, int) and value > most:
            yield (*place, key), most
