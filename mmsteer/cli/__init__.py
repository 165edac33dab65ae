"""`mmsteer ...`: every error that mmsteer raises on purpose is one clear line, and exit code 2.

Nothing here imports torch before a command needs it: `mmsteer --help` answers at once.
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from mmsteer.cli.attribute import attribute
from mmsteer.cli.attribute_samples import attribute_samples
from mmsteer.cli.convert import convert
from mmsteer.cli.evaluate import app as evaluate
from mmsteer.cli.fold import fold
from mmsteer.cli.generate import generate
from mmsteer.cli.hints import as_typed
from mmsteer.cli.plan import plan
from mmsteer.cli.probe import probe
from mmsteer.cli.push import push
from mmsteer.cli.recipes import app as recipes
from mmsteer.cli.run import report, run
from mmsteer.cli.sae_methods import app as sae
from mmsteer.cli.search import search
from mmsteer.cli.serve import serve
from mmsteer.cli.studio import studio
from mmsteer.cli.train import train
from mmsteer.errors import EndedElsewhere, MmsteerError

HELP = """Steer multimodal models while they generate, and measure honestly what changed.

[bold]Hear it[/]   mmsteer generate --prompt "a slow piano melody" --steer "note:C 0.1 fade-in 0..4s" --out c.wav
[bold]Prove it[/]  mmsteer run one-note
[bold]Judge it[/]  mmsteer eval notes c.wav --target C
"""

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False)
app.command()(run)
app.command()(plan)
app.command()(generate)
app.command()(probe)
app.command()(search)
app.command()(train)
app.command()(attribute)
app.command()(attribute_samples)
app.command()(fold)
app.command()(serve)
app.command()(convert)
app.command()(push)
app.command()(studio)
app.command()(report)
app.add_typer(sae, name="sae")
app.add_typer(recipes, name="recipes")
app.add_typer(evaluate, name="eval")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"mmsteer {version('mmsteer')}")
        raise typer.Exit


@app.callback(help=HELP)
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version, and end")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    try:
        app()
    except EndedElsewhere:
        sys.exit(2)  # the process that failed prints its error
    except MmsteerError as error:
        message = as_typed(str(error), typer.main.get_command(app), sys.argv[1:])
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
