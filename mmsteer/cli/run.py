"""`mmsteer run` and `mmsteer report`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsteer.cli.benchmark import is_benchmark, refuse_benchmark, run_benchmark
from mmsteer.cli.options import Quiet, Workers

if TYPE_CHECKING:
    from rich.table import Table

BESIDE = ("unsteered", "random", "searched", "wrong_image", "shuffled", "chance")
DETAILS = (".precision", ".recall", "distinct", "no_objects", "precision", ".unparsed")
"""Metrics that the run folder holds and the terminal leaves out."""


def run(
    recipe: Annotated[str, typer.Argument(help="a recipe file, or a name from `mmsteer recipes list`")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="changes, such as generate.seconds=2")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the run folder (default: runs/<name>-<id>)")] = None,
    workers: Workers = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="run everything in it on 8 images or rows, to see that all is there")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Do what a recipe says: find directions, generate, judge, score.

    The result is a folder of plain files with a report. A run that was stopped, or killed, goes on where it stood when
    the same command is given again.

    [bold]Examples[/]

    mmsteer run one-note

    mmsteer run hallucination

    mmsteer run one-note data.world.n=4 generate.seconds=2 --out runs/try

    mmsteer run my-recipe.yaml model.load=facebook/musicgen-small model.device=cuda

    mmsteer run my-recipe.yaml --workers 4

    mmsteer run llava-1.5-7b-hallucination --smoke
    """
    from mmsteer.cli.quiet import hush
    from mmsteer.recipes.experiment import held_by_worker, prepare
    from mmsteer.recipes.run import run as run_experiment
    from mmsteer.report import write_report
    from mmsteer.workers import opened

    hush()
    changes = overrides or []
    if is_benchmark(recipe, changes):
        if smoke:
            refuse_benchmark(recipe, changes, "are not made small by --smoke; give concepts=1 and few prompts instead")
        with _resumable(out or Path("runs")):
            run_benchmark(recipe, changes, out, workers, quiet=quiet)
        return
    changes = [*changes, *(_smaller(recipe, changes) if smoke else [])]
    # Where others compute, this process checks, writes and scores alone, and leaves the cards to them.
    experiment = prepare(recipe, changes, "cpu" if workers else None)
    path = out or Path("runs") / experiment.name
    start = partial(held_by_worker, recipe, changes, os.getcwd(), experiment.id)
    with _resumable(path), opened(workers, start) if workers else nullcontext() as by:
        folder = run_experiment(experiment, path, workers=by, progress=not quiet)
    page = write_report(folder.path)
    if folder.has("choice.json"):
        _print_choice(folder.read("choice.json"))
    _print_scores(folder.read("scores.json"))
    print(f"\nrun folder: {folder.path}")
    print(f"report:     {page}")


def report(
    folder: Annotated[Path, typer.Argument(help="a run folder, such as runs/one-note-1a2b3c4d5e")],
) -> None:
    """Write the HTML report of a run folder again.

    [bold]Example[/]

    mmsteer report runs/one-note-1a2b3c4d5e
    """
    from mmsteer.report import write_report

    print(write_report(folder))


def _smaller(recipe: str, changes: list[str]) -> list[str]:
    """What makes the run small, after the recipe as it stands has been checked."""
    from mmsteer.recipes.checks import check_recipe
    from mmsteer.recipes.smoke import smoke_overrides

    check_recipe(recipe, changes)
    smaller = smoke_overrides(recipe, changes)
    print("smaller:", " ".join(smaller))
    return smaller


@contextmanager
def _resumable(path: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print(f"stopped; what is finished is kept in {path}: give the same command again to go on", file=sys.stderr)
        raise typer.Exit(130) from None


def _print_choice(choice: list[dict[str, Any]]) -> None:
    for one in choice:
        print(f"chosen to {one['goal']}: {one['condition']} ({one['allowed']} of {one['tried']} within the bounds)")
        for line in one["broken"]:
            print(f"  none is within all bounds: {line}")


def _print_scores(scores: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    for row in scores["summaries"] or scores["rows"]:
        console.print(_table(row["condition"], row["metrics"]))


def _table(condition: str, metrics: dict[str, Any]) -> "Table":
    """A condition beside its controls, narrow enough for a terminal of 80 columns."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = {name: found for name, found in metrics.items() if not name.endswith(DETAILS)}
    beside = [name for name in BESIDE if 2 * sum(bool(found.get(name)) for found in shown.values()) > len(shown)]
    count = max(found["steered"]["n"] for found in shown.values())
    title = Text(f"{condition} (n = {count})")
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("metric", overflow="fold")
    for name in ("steered", "95 %", *beside):
        table.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
    for name, found in shown.items():
        table.add_row(Text(name), *_cells(found, beside))
    return table


def _cells(found: dict[str, Any], beside: list[str]) -> list[str]:
    steered = found["steered"]
    return [_number(steered), _interval(steered), *(_number(found.get(name)) for name in beside)]


def _interval(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return ""
    return "no interval" if found["low"] is None else f"{found['low']:.3f} {found['high']:.3f}"


def _number(found: dict[str, Any] | float | None) -> str:
    """A score, or the chance level, which is a number alone."""
    if found is None:
        return ""
    value = found["value"] if isinstance(found, dict) else found
    return "unscored" if value is None else f"{value:.3f}"
