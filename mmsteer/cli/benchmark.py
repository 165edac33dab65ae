"""Recipes of the kind `axbench`, for the commands that take recipes."""

from collections.abc import Sequence
from pathlib import Path

from mmsteer.errors import RecipeError


def is_benchmark(recipe: str, overrides: Sequence[str]) -> bool:
    """Whether a recipe is of this kind.

    `overrides`: lines `a.b.c=value`.
    """
    from mmsteer.recipes.loading import kind_of

    return kind_of(recipe, overrides) == "axbench"


def refuse_benchmark(recipe: str, overrides: Sequence[str], what: str) -> None:
    """Refuse a recipe of this kind where it does not fit.

    `what`: said of these recipes.

    Raises:
        RecipeError: It is of this kind.
    """
    if is_benchmark(recipe, overrides):
        raise RecipeError(f"{recipe}: recipes of the kind axbench {what}")


def check_benchmark(recipe: str, overrides: Sequence[str]) -> str:
    """What is in a recipe of this kind, after all of it was checked."""
    from mmsteer.recipes.axbench import check_axbench

    found, concepts, _ = check_axbench(recipe, overrides)
    of = f"the world's {found.world}" if found.world else f"{len(concepts)} concepts"
    return f"{found.name}, {of}, {len(found.methods)} methods"


def run_benchmark(recipe: str, overrides: Sequence[str], out: Path | None, workers: str | None, *, quiet: bool) -> None:
    """Run a recipe of this kind, write its page and print its table."""
    from rich.console import Console
    from rich.text import Text

    from mmsteer.cli.files import write_out
    from mmsteer.cli.tables import table
    from mmsteer.json_lines import read_json
    from mmsteer.recipes.axbench import run_axbench
    from mmsteer.report.axbench_page import HEADINGS, TITLES, axbench_page, cells, order

    folder, found = run_axbench(recipe, overrides, out, workers=workers, progress=not quiet)
    judge = read_json(folder / "axbench.json")["judge"]
    write_out(folder / "index.html", axbench_page(folder.name, judge, found).encode())
    console = Console()
    console.print(table(HEADINGS, [cells(row) for row in found.rows]))
    for what in TITLES:
        console.print(Text(order(found, what)))
    print(f"\nrun folder: {folder}\nreport:     {folder / 'index.html'}")
