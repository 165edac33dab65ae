"""What every part of a recipe is, and the files that parts name."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Value = bool | int | float | str
PATH = "(path)"
"""Marks a key that names a file or folder: what lies beside the recipe goes first, then what lies here."""
PathText = Annotated[Text, PATH]


class Part(BaseModel):
    """A mapping of a recipe: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def has(item: Any, key: str) -> bool:
    """Whether a part has a key, read or not yet read.

    `item`: A mapping, or what was made of one.
    """
    return key in item if isinstance(item, dict) else hasattr(item, key)


def by_key(*keys: str) -> Discriminator:
    """Tells forms of a part apart by the key that one alone has; the tag of a form is its key in brackets."""

    def tag(item: Any) -> str | None:
        return next((f"({key})" for key in keys if has(item, key)), None)

    return Discriminator(tag, custom_error_type="form", custom_error_message=f"give one of {', '.join(keys)}")


def mapped(part: Any, path: Callable[[str], str], *, named: bool = False) -> Any:
    """A part with every file or folder that it names replaced.

    Args:
        part: A part, or what one of its keys holds.
        path: What to write for a name.
        named: Whether the key names files.
    """
    if isinstance(part, Part):
        keys = type(part).model_fields.items()
        changed = {key: mapped(getattr(part, key), path, named=PATH in field.metadata) for key, field in keys}
        return part.model_copy(update=changed)
    if isinstance(part, tuple):
        return tuple(mapped(one, path, named=named) for one in part)
    if isinstance(part, dict):
        return {key: mapped(one, path, named=named) for key, one in part.items()}
    return path(part) if named and part is not None else part


def named_paths(part: Any) -> tuple[Path, ...]:
    """The files and folders that a part names, each once."""
    found: list[str] = []
    mapped(part, lambda path: found.append(path) or path)  # type: ignore[func-returns-value]
    return tuple(map(Path, dict.fromkeys(found)))
