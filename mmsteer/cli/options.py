"""Options that are given although they do nothing: an error, never silence."""

from collections.abc import Iterable
from pathlib import Path

import typer

from mmsteer.errors import DataError

OF_ROWS = ("reward", "corpus", "cache", "tokens", "temperature", "label")
"""Parameters of `mmsteer sae` that are about rows of one's own."""


def refuse_idle(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse options that were given although they do nothing.

    Args:
        context: Of the command.
        names: The parameters that do nothing, as they are called in Python; those of other commands are passed over.
        why: What they are for, after the name of the option.

    Raises:
        DataError: One was given.
    """
    idle = set(names)
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in idle and source is not None and source.name == "COMMANDLINE":
            raise DataError(f"{parameter.opts[0]} {why}, or leave it out")


def check_sources(context: typer.Context, data: Path | None, of_world: Iterable[str]) -> None:
    """Refuse options of the rendered world beside rows of one's own, and options of rows where there are none.

    Args:
        context: Of the command.
        data: The rows.
        of_world: The parameters that are about the world alone.

    Raises:
        DataError: One was given.
    """
    if data is None:
        refuse_idle(context, OF_ROWS, "is about rows of your own; give --data, too")
    else:
        refuse_idle(context, of_world, "is about the rendered world, not rows of your own; leave out --data")
