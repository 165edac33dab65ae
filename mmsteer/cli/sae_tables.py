"""What the methods of `mmsteer sae` print and write: tables with intervals, or the same as JSON; and that they work."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mmsteer.cli.tables import table
from mmsteer.errors import DictionaryError

AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of tables")]
Out = Annotated[Path | None, typer.Option(help="a .json file to write the results to; it must not exist")]

Row = Mapping[str, object]
Results = Mapping[str, object]
"""Tables by title, each a list of rows of which the first has the columns; and single values by name."""
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
            if not os.path.isdir(self.out.parent):
                raise DictionaryError(f"{self.out}: there is no folder {self.out.parent}; make it, or name another")

    def write(self, found: Results, above: str = "") -> None:
        """Print results, lists of rows as tables and others as lines, or all there is as JSON; write the latter.

        `above`: what stands above the tables and is in no JSON.
        """
        text = json.dumps(_plain(found), allow_nan=False, indent=1)
        if self.out is not None:
            self.out.write_text(text + "\n")
        if self.as_json:
            print(text)
            return
        print(above, end="\n" if above else "")
        for name, value in found.items():
            if isinstance(value, list | tuple) and value and all(isinstance(row, Mapping) for row in value):
                _show(name, value)
            else:
                print(f"{name.replace('_', ' ')}: {_text(value)}")


def check_absent(out: Path) -> None:
    """Refuse to write where something is.

    Raises:
        DictionaryError: It exists.
    """
    if os.path.exists(out):
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
    from rich.console import Console

    console, cells = Console(), ([_text(value) for value in row.values()] for row in rows)
    # Tables with intervals are wider than what a pipe is taken for.
    (console if console.is_terminal else Console(width=200)).print(table(rows[0], cells, title))


def _plain(value: Any) -> Any:
    """Scores as mappings, other containers as lists and mappings of plain values."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if hasattr(value, "to_json"):
        return value.to_json()
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _text(value: Any) -> str:
    if isinstance(value, Mapping) and {"value", "low", "high"} <= value.keys():
        from mmsteer.types import Score

        return Score(**value).with_unscored()
    if value is None or value in ((), []):
        return "-"
    if isinstance(value, tuple | list):
        return " ".join(map(_text, value))
    return f"{value:.3f}" if isinstance(value, float) else str(value)
