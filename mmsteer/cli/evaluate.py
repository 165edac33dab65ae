"""`mmsteer eval notes|chords|register|tempo|key|instrument`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mmsteer.cli.eval_amber import amber
from mmsteer.cli.eval_chair import chair
from mmsteer.cli.eval_hallusion import hallusionbench
from mmsteer.cli.eval_mme import mme
from mmsteer.cli.eval_mmhal import mmhal
from mmsteer.cli.eval_pope import pope, pope_build
from mmsteer.errors import EvalError

EXTENSIONS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif")

app = typer.Typer(
    help="Judge audio files, anybody's, in any format that soundfile reads.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

app.command()(chair)
app.command()(pope)
app.command("pope-build")(pope_build)
app.command()(amber)
app.command()(mmhal)
app.command()(hallusionbench)
app.command()(mme)

Files = Annotated[list[Path], typer.Argument(help="audio files, or folders of them")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]


@app.command()
def notes(
    files: Files,
    target: Annotated[str | None, typer.Option(help="the pitch class that was asked for, such as C or Bb")] = None,
    as_json: AsJson = False,
) -> None:
    """Which pitch class is played, and for how much of the time.

    [bold]Example[/]

    mmsteer eval notes *.wav --target C --json
    """
    from mmsteer.eval.notes import notes_report

    report = notes_report(audio_files(files), target)
    if as_json:
        print(json.dumps(report, allow_nan=False))
        return
    _table([{key: value for key, value in row.items() if key != "share"} | _top(row) for row in report["files"]])
    for name, score in report.get("summary", {}).items():
        print(f"{name}: {_shown(score['value'] if isinstance(score, dict) else score)}")


@app.command()
def chords(files: Files, as_json: AsJson = False) -> None:
    """Which triad is played: root and quality."""
    _judge("chords", files, as_json)


@app.command()
def register(files: Files, as_json: AsJson = False) -> None:
    """How high the main line lies, as a MIDI number and a word."""
    _judge("register", files, as_json)


@app.command()
def tempo(files: Files, as_json: AsJson = False) -> None:
    """How many beats a minute."""
    _judge("tempo", files, as_json)


@app.command()
def key(files: Files, as_json: AsJson = False) -> None:
    """Which key and scale."""
    _judge("key", files, as_json)


@app.command()
def instrument(files: Files, as_json: AsJson = False) -> None:
    """Which instrument of the rendered world.

    The judge knows bell, clarinet, flute, guitar, marimba, organ, piano and strings as the project renders them, and
    names none below a posterior of 0.9; an instrument that it does not know may still pass for one of them.
    """
    _judge("instrument", files, as_json)


def _judge(name: str, files: list[Path], as_json: bool) -> None:
    from mmsteer.eval.attributes import read_any_file

    rows = [{"file": str(file), **read_any_file(file, name)} for file in audio_files(files)]
    if as_json:
        print(json.dumps({"files": rows}, allow_nan=False))
    else:
        _table(rows)


def audio_files(paths: list[Path]) -> list[Path]:
    """The files, and of folders the audio files in them, in order of their names.

    Args:
        paths: Files and folders.

    Raises:
        EvalError: A folder holds no audio file.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(one for one in path.iterdir() if one.suffix.lower() in EXTENSIONS) if path.is_dir() else [path]
        if not inside:
            raise EvalError(f"{path}: no audio file in this folder; they end in {', '.join(EXTENSIONS)}")
        found += inside
    return found


def _top(row: dict[str, Any]) -> dict[str, str]:
    most = sorted((row["share"] or {}).items(), key=lambda item: -item[1])[:3]
    return {"largest shares": ", ".join(f"{name} {share:.0%}" for name, share in most if share > 0)}


def _table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    Console().print(table)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
