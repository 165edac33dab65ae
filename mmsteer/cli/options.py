"""Options that are given although they do nothing: an error, never silence."""

from collections.abc import Iterable

import typer

from mmsteer.errors import DataError


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
