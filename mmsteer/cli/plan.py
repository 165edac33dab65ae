"""`mmsteer plan`."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from mmsteer.cli.benchmark import refuse_benchmark

if TYPE_CHECKING:
    from mmsteer.recipes.costs import Costs

HEADINGS = ("part", "pieces", "samples", "tokens", "disk", "seconds a piece", "hours")


def plan(
    recipe: Annotated[str, typer.Argument(help="a recipe file, or a name from `mmsteer recipes list`")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="changes, such as generate.seconds=2")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="that will share the pieces, each as fast as this machine")] = 1,
) -> None:
    """Say what a run will take: one piece of each kind is done and timed here, and the others are counted.

    Fitting probes, measuring doses, attribution and the report come on top.

    [bold]Examples[/]

    mmsteer plan one-note

    mmsteer plan my-recipe.yaml model.device=cuda --workers 64
    """
    from rich.console import Console

    from mmsteer.cli.quiet import hush
    from mmsteer.cli.tables import table
    from mmsteer.recipes.costs import costs
    from mmsteer.recipes.experiment import prepare

    hush()
    refuse_benchmark(recipe, overrides or [], "are not run in pieces of one size and have no plan")
    began = time.perf_counter()
    experiment = prepare(recipe, overrides or [])
    found = costs(experiment, time.perf_counter() - began)
    Console().print(table(HEADINGS, _rows(found, workers)))
    print(
        f"{found.hours(workers):.2f} hours with {workers} worker{'s' * (workers > 1)}, each {found.start:.0f} s to "
        f"begin and {found.memory / 2**30:.2f} GiB of memory or more"
    )


def _rows(found: "Costs", workers: int) -> list[tuple[str, ...]]:
    return [
        (
            one.what,
            f"{one.pieces:,}",
            f"{one.samples:,}",
            f"{one.tokens:,}",
            f"{one.bytes / 2**20:,.1f} MiB",
            f"{one.seconds:.2f}",
            f"{one.hours(workers):.2f}",
        )
        for one in found.parts
    ]
