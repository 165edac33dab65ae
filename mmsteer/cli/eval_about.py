"""`mmsteer eval about`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmsteer.errors import EvalError


def about(
    name: Annotated[str | None, typer.Argument(help="one of the list (default: the list)")] = None,
) -> None:
    """Say what a judge reads, by which convention, where it cannot tell, and how it differs from its reference.

    [bold]Examples[/]

    mmsteer eval about

    mmsteer eval about pope
    """
    from rich.console import Console
    from rich.text import Text

    from mmsteer.library import library

    files = {file.stem: file for file in sorted(library("eval").glob("*.yaml"))}
    lines = {known: _card(known, files)["judges"] for known in files} if name is None else _card(name, files)
    for key, value in lines.items():
        head = key if name is None else key.replace("_", " ")
        Console(highlight=False).print(Text.assemble((f"{head}: ", "bold"), _text(value)))


def _card(name: str, files: Mapping[str, Path]) -> dict[str, Any]:
    from mmsteer.document import read_document

    if name not in files:
        raise EvalError(f"nothing is known about {name!r}; choose from {', '.join(files)}")
    card: dict[str, Any] = read_document(files[name]).data
    return card


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return ", ".join(value) if isinstance(value, list) else "none" if value is None else str(value)
