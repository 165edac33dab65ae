"""What the methods of `mmsteer sae` print and write: tables with intervals, or the same as JSON; and that they work."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsteer.cli.tables import table
from mmsteer.errors import DictionaryError

if TYPE_CHECKING:
    from rich.console import Console

    from mmsteer.types import Score

AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of tables")]
Out = Annotated[Path | None, typer.Option(help="a .json file to write the results to; it must not exist")]

Row = Mapping[str, object]
Say = Callable[[str], None]
"""Shows what is being done."""


@dataclass(frozen=True)
class Output:
    """Where results go; made before anything is computed.

    `out`: a file to write the same JSON to.

    Raises:
        DictionaryError: The file exists, or there is no folder for it.
    """

    as_json: bool = False
    out: Path | None = None

    def __post_init__(self) -> None:
        if self.out is not None:
            check_absent(self.out)
            if not self.out.parent.is_dir():
                raise DictionaryError(f"{self.out}: there is no folder {self.out.parent}; make it, or name another")

    def tell(self, tables: Mapping[str, Sequence[Row]], **more: object) -> None:
        """Print tables, or all there is as JSON; write the latter.

        `tables`: rows by title; the first row has the columns. Keys of more stand below, as lines.
        """
        report = {name: [_plain(row) for row in rows] for name, rows in tables.items()} | {
            name: _plain(value) for name, value in more.items()
        }
        text = json.dumps(report, allow_nan=False, indent=1)
        if self.out is not None:
            self.out.write_text(text + "\n")
        if self.as_json:
            print(text)
            return
        for title, rows in tables.items():
            _show(title, rows)
        for name, value in more.items():
            print(f"{name.replace('_', ' ')}: {_text(value)}")


def check_absent(out: Path) -> None:
    """Refuse to write where something is.

    Raises:
        DictionaryError: It exists.
    """
    if out.exists():
        raise DictionaryError(f"{out} exists and is not overwritten; give another name")


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Numbers from a list with commas.

    Raises:
        DictionaryError: One is no number.
    """
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise DictionaryError(f"{option} {text!r} is no list of numbers; write them like 0.1,0.2") from None


@contextmanager
def working(text: str) -> Iterator[Say]:
    """Show on the terminal's other channel what is being done and for how long."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(text)
        yield lambda now: progress.update(task, description=now)


def _show(title: str, rows: Sequence[Row]) -> None:
    cells = ([_text(value) for value in row.values()] for row in rows)
    _console().print(table(rows[0] if rows else (), cells, title))


def _console() -> "Console":
    from rich.console import Console

    console = Console()
    # Tables with intervals are wider than what a pipe is taken for.
    return console if console.is_terminal else Console(width=200)


def _plain(value: Any) -> Any:
    """Scores as mappings, other containers as lists and mappings of plain values."""
    if _is_score(value):
        return value.to_json()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _text(value: Any) -> str:
    if isinstance(value, Mapping) and {"value", "low", "high"} <= value.keys():
        value = _score(value)
    if value is None or value in ((), []):
        return "-"
    if isinstance(value, tuple | list):
        return " ".join(map(_text, value))
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _score(told: Mapping[str, Any]) -> "Score":
    from mmsteer.types import Score

    return Score(**told)


def _is_score(value: object) -> bool:
    from mmsteer.types import Score

    return isinstance(value, Score)
