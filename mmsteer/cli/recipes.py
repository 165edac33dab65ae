"""`mmsteer recipes list|copy|check|keys|schema`."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from mmsteer.cli.benchmark import check_benchmark, is_benchmark
from mmsteer.cli.tables import table
from mmsteer.errors import RecipeError

app = typer.Typer(help="The recipes that come with mmsteer, and yours.", no_args_is_help=True, rich_markup_mode="rich")


@app.command("list")
def list_recipes() -> None:
    """Show the recipes that come with mmsteer."""
    from rich.console import Console

    from mmsteer.recipes.loading import load_document, recipe_files

    known = {file.stem: load_document(file).data for file in recipe_files()}
    rows = [(name, data["model"]["load"], data["about"]) for name, data in known.items()]
    Console().print(table(("recipe", "model", "about"), rows))
    print("Run one with `mmsteer run NAME`; make it your own with `mmsteer recipes copy NAME`.")


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="a name from `mmsteer recipes list`")],
    destination: Annotated[Path | None, typer.Argument(help="a file or folder (default: here)")] = None,
) -> None:
    """Copy a recipe out, to be changed and run. A file that is there is never overwritten.

    [bold]Example[/]

    mmsteer recipes copy one-note my-note.yaml
    """
    from mmsteer.recipes.loading import find_recipe

    source = find_recipe(name)
    target = destination or Path()
    target = target / source.name if os.path.isdir(target) else target
    _write_new(target, source.read_bytes())
    print(target)


def _write_new(path: Path, data: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise RecipeError(f"{path} exists and is not overwritten; give another name") from None
    except OSError as cause:
        raise RecipeError(f"{path} cannot be written: {cause.strerror}") from None


@app.command()
def check(
    recipe: Annotated[str, typer.Argument(help="a recipe file, or a name from `mmsteer recipes list`")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...")] = None,
) -> None:
    """Say everything that is wrong with a recipe at once, with line numbers, or ok. No model is loaded.

    [bold]Example[/]

    mmsteer recipes check my-note.yaml
    """
    if is_benchmark(recipe, overrides or []):
        print("ok:", check_benchmark(recipe, overrides or []))
        return
    from mmsteer.recipes.checks import check_recipe

    checked = check_recipe(recipe, overrides or [])
    print(f"ok: {checked.recipe.name}, {len(checked.conditions)} conditions")


@app.command()
def keys() -> None:
    """Print every key of a recipe with what may stand there, as Markdown: the tables of docs/recipes.md.

    [bold]Example[/]

    mmsteer recipes keys
    """
    from mmsteer.recipes.keys import key_tables

    print(key_tables())


@app.command()
def schema() -> None:
    """Print the JSON Schema of a recipe, which editors complete and check by.

    [bold]Example[/]

    mmsteer recipes schema > recipe.schema.json
    """
    from mmsteer.recipes.keys import json_schema

    print(json.dumps(json_schema(), indent=1))
