"""Options that commands share; and those that are given although they do nothing: an error, never silence."""

from collections.abc import Iterable
from typing import Annotated

import typer

from mmsteer.errors import DataError

Device = Annotated[str, typer.Option(help="cpu, cuda or auto")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16, float16, or auto: as the checkpoint says")]
Force = Annotated[bool, typer.Option("--force", help="overwrite the file")]
ReportTo = Annotated[
    list[str] | None,
    typer.Option(help="send the numbers to tensorboard (files in the folder), wandb or trackio; repeated"),
]


def _checked_workers(text: str | None) -> str | None:
    from mmsteer.workers import check_workers

    if text is not None:
        check_workers(text)
    return text


Workers = Annotated[
    str | None,
    typer.Option(
        callback=_checked_workers,
        help="a number of processes, or ray://host:port, 4@ray://host:port, 4@ray (default: this process)",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="show no progress")]


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
