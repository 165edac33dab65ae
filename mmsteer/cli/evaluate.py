"""`mmsteer eval notes|chords|register|tempo|key|instrument|distance`."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from mmsteer.cli.eval_about import about
from mmsteer.cli.eval_amber import amber
from mmsteer.cli.eval_benchmarks import hallusionbench, mme, mmhal
from mmsteer.cli.eval_chair import chair
from mmsteer.cli.eval_clip import clip_score
from mmsteer.cli.eval_out import Out, write_report
from mmsteer.cli.eval_pope import pope, pope_build
from mmsteer.cli.eval_table import AsJson
from mmsteer.cli.tables import table
from mmsteer.errors import EvalError

ANSWERS, AUDIO = "Captions and answers", "Audio"
EXTENSIONS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif")
JUDGED = {
    "chords": "Which triad is played: root and quality.",
    "register": "How high the main line lies, as a MIDI number and a word.",
    "tempo": "How many beats a minute.",
    "instrument": """Which instrument of the rendered world.

The judge knows bell, clarinet, flute, guitar, marimba, organ, piano and strings as the project renders them, and
names none below a posterior of 0.9; an instrument that it does not know may still pass for one of them.
""",
}

EMPTY: Mapping[str, Callable[[Any], object]] = MappingProxyType({})

app = typer.Typer(
    help="Judge outputs, anybody's: answers and captions in the files of public benchmarks, and audio in any format.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

app.command()(about)
app.command(rich_help_panel=ANSWERS)(chair)
app.command(rich_help_panel=ANSWERS)(pope)
app.command("pope-build", rich_help_panel=ANSWERS)(pope_build)
app.command(rich_help_panel=ANSWERS)(amber)
app.command("clip-score", rich_help_panel=ANSWERS)(clip_score)
app.command(rich_help_panel=ANSWERS)(mmhal)
app.command(rich_help_panel=ANSWERS)(hallusionbench)
app.command(rich_help_panel=ANSWERS)(mme)

Files = Annotated[list[Path], typer.Argument(help="audio files, or folders of them")]


@app.command(rich_help_panel=AUDIO)
def notes(
    files: Files,
    target: Annotated[str | None, typer.Option(help="the pitch class that was asked for, such as C or Bb")] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Which pitch class is played, and for how much of the time.

    [bold]Example[/]

    mmsteer eval notes *.wav --target C --json
    """
    from mmsteer.eval.notes import notes_report

    report = notes_report(audio_files(files), target)
    rows = [{key: value for key, value in row.items() if key != "share"} | _top(row) for row in report["files"]]
    _show("notes", report, report["files"], rows, as_json, out)
    if as_json:
        return
    for name, score in report.get("summary", {}).items():
        print(f"{name}: {_shown(score['value'] if isinstance(score, dict) else score)}")


@app.command(rich_help_panel=AUDIO)
def key(
    files: Files,
    target: Annotated[str | None, typer.Option(help="the key that was asked for, such as 'C# minor' or Bbm")] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Which key and scale; with --target also the weighted score of MIREX: 1 if right, less for related keys.

    [bold]Example[/]

    mmsteer eval key *.wav --target "A minor"
    """
    from mmsteer.eval.keys import key_score, parse_key

    wanted = None if target is None else parse_key(target)
    _judge("key", files, as_json, out, {} if wanted is None else {"score": lambda row: key_score(row["key"], wanted)})


@app.command(rich_help_panel=AUDIO)
def distance(
    files: Files,
    reference: Annotated[list[Path], typer.Option(help="clips to compare with: a file or folder, or several")],
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """How far clips lie from others: Fréchet (fad) and kernel distance (kad) of their sound, by no pretrained network.

    Compare only values of the same number of clips and the same reference.

    [bold]Example[/]

    mmsteer eval distance steered --reference unsteered
    """
    from mmsteer.eval.audio import read_audio
    from mmsteer.eval.distance import SIGNAL_EMBEDDING, embed, frechet_distance, kernel_distance

    theirs, mine = (
        embed([(one.samples, one.sample_rate) for one in map(read_audio, audio_files(some))])
        for some in (reference, files)
    )
    names = {"embedding": SIGNAL_EMBEDDING, "reference_name": ", ".join(map(str, reference))}
    rows = [measure(theirs, mine, **names).to_json() for measure in (frechet_distance, kernel_distance)]
    _show("distance", {"distances": rows}, rows, [dict(row) for row in rows], as_json, out)


def _command(name: str, about: str) -> None:
    @app.command(name, help=about, rich_help_panel=AUDIO)
    def judge(files: Files, out: Out = None, as_json: AsJson = False) -> None:
        _judge(name, files, as_json, out)


for _name, _about in JUDGED.items():
    _command(_name, _about)


def _judge(
    name: str,
    files: list[Path],
    as_json: bool,
    out: Path | None,
    more: Mapping[str, Callable[[Any], object]] = EMPTY,
) -> None:
    from mmsteer.eval.attributes import read_any_file

    read = [{"file": str(file), **read_any_file(file, name)} for file in audio_files(files)]
    rows = [row | {key: measure(row) for key, measure in more.items()} for row in read]
    is_instrument = name == "instrument"
    named = [row | {"instrument": row["instrument"] or "unknown"} for row in rows] if is_instrument else rows
    _show(name, {"files": rows}, rows, named, as_json, out)
    if is_instrument and not as_json:
        print(f"unknown: none of {', '.join(_instruments())}, or not surely one of them")


def _instruments() -> tuple[str, ...]:
    from mmsteer.eval.adherence import load_judge

    return load_judge().instruments


def audio_files(paths: list[Path]) -> list[Path]:
    """The files, and of folders the audio files in them, in order of their names.

    Raises:
        EvalError: A folder holds no audio file.
    """
    found: list[Path] = []
    for path in paths:
        inside = (
            sorted(one for one in path.iterdir() if one.suffix.lower() in EXTENSIONS) if os.path.isdir(path) else [path]
        )
        if not inside:
            raise EvalError(f"{path}: no audio file in this folder; they end in {', '.join(EXTENSIONS)}")
        found += inside
    return found


def _top(row: dict[str, Any]) -> dict[str, str]:
    most = sorted((row["share"] or {}).items(), key=lambda item: -item[1])[:3]
    return {"largest shares": ", ".join(f"{name} {share:.0%}" for name, share in most if share > 0)}


def _show(
    name: str,
    report: dict[str, Any],
    rows: list[dict[str, Any]],
    shown: list[dict[str, Any]],
    as_json: bool,
    out: Path | None,
) -> None:
    """A table, or all there is as JSON; and the file that was asked for.

    `rows`: what was found, a line each.
    `shown`: the same as a person reads it.
    """
    headings, texts = list(shown[0]), [[_shown(value) for value in row.values()] for row in shown]
    if out is not None:
        write_report(out, name, report, rows, headings, texts)
    if as_json:
        print(json.dumps(report, allow_nan=False))
        return
    from rich.console import Console

    Console().print(table(headings, texts))


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
