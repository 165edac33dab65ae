"""Rows of results as a table on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from mmsteer.latents.detection import Detection


def show(title: str, rows: Sequence[Mapping[str, Any]], console: Console | None = None) -> None:
    """Print a table.

    Args:
        title: Its title.
        rows: Values by column; all rows have the same columns.
        console: Where to; standard output where it is left out.
    """
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*map(_text, row.values()))
    (console or Console(width=160)).print(table)


def detection_row(one: Detection) -> dict[str, object]:
    """A detector's result as a row.

    Args:
        one: The result.
    """
    return {
        "detector": one.detector,
        "on": one.inputs,
        "AUC": f"{one.auc:.3f} [{one.low:.3f}, {one.high:.3f}]",
        "macro F1": one.macro_f1,
        "positive": f"{one.positives} of {one.n}",
        "features": ", ".join(map(str, one.features[:5])),
    }


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, tuple):
        return " ".join(map(_text, value)) or "-"
    return "-" if value is None else str(value)
