"""`mmsteer run` and `mmsteer report`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

BESIDE = ("unsteered", "random", "wrong_image")
REPORTED = ("music",)
"""Kinds of recipes that the report can show."""


def run(
    recipe: Annotated[str, typer.Argument(help="a recipe file, or a name from `mmsteer recipes list`")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="changes, such as generate.seconds=2")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the run folder (default: runs/<name>-<id>)")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="show no progress")] = False,
) -> None:
    """Do what a recipe says: find directions, generate, judge, score.

    The result is a folder of plain files with a report. A run that was stopped, or killed, goes on where it stood when
    the same command is given again.

    [bold]Examples[/]

    mmsteer run one-note

    mmsteer run hallucination

    mmsteer run one-note prompts.world.n=4 generate.seconds=2 --out runs/try

    mmsteer run my-recipe.yaml model.load=facebook/musicgen-small model.device=cuda
    """
    from mmsteer.cli.quiet import hush
    from mmsteer.recipes.experiment import prepare
    from mmsteer.recipes.run import run as run_experiment
    from mmsteer.report import write_report

    hush()
    experiment = prepare(recipe, overrides or [])
    path = out or Path("runs") / experiment.name
    with _resumable(path):
        folder = run_experiment(experiment, path, progress=not quiet)
    page = write_report(folder.path) if experiment.recipe.kind in REPORTED else None
    if folder.has("choice.json"):
        _print_choice(folder.read("choice.json"))
    _print_scores(folder.read("scores.json"))
    print(f"\nrun folder: {folder.path}")
    if page:
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
    from rich.table import Table

    rows = scores["summaries"] or scores["rows"]
    beside = [name for name in BESIDE if any(found.get(name) for row in rows for found in row["metrics"].values())]
    table = Table(title="Judged from the output alone", title_justify="left")
    table.add_column("condition")
    for name in ("metric", "steered", "95 % interval", *beside, "chance", "n"):
        table.add_column(name.replace("_", " "), justify="left" if name == "metric" else "right")
    for row in rows:
        for at, (metric, found) in enumerate(row["metrics"].items()):
            table.add_row("" if at else row["condition"], metric, *_cells(found, beside))
        table.add_section()
    Console().print(table)


def _cells(found: dict[str, Any], beside: list[str]) -> list[str]:
    steered = found["steered"]
    interval = "" if steered["value"] is None else f"{steered['low']:.3f} to {steered['high']:.3f}"
    others = [_number(found[name]["value"]) if found.get(name) else "" for name in beside]
    return [_number(steered["value"]), interval, *others, _number(found["chance"], ""), str(steered["n"])]


def _number(value: float | None, missing: str = "unscored") -> str:
    return missing if value is None else f"{value:.3f}"
