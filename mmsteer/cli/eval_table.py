"""What the commands that judge outputs print and write."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mmsteer.cli.eval_out import write_report
from mmsteer.cli.tables import table

AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
HEADINGS = ("", "value", "95 % interval")
Line = tuple[str, float | int | None, Sequence[float | None] | None]


def show(title: str, lines: Sequence[Line], report: Mapping[str, Any], as_json: bool, out: Path | None = None) -> None:
    """A table of named values with their intervals, or all there is as JSON.

    `lines`: what a value is, the value, and the ends of its interval.
    `out`: the file that is written, too.
    """
    texts = [(label, _number(value), _interval(interval)) for label, value, interval in lines]
    if out is not None:
        write_report(out, title, report, [_named(*line) for line in lines], HEADINGS, texts)
    if as_json:
        print(json.dumps(report, allow_nan=False))
        return
    from rich.console import Console

    Console().print(table(HEADINGS, texts, title))


def _named(label: str, value: float | int | None, interval: Sequence[float | None] | None) -> dict[str, Any]:
    low, high = interval or (None, None)
    return {"name": label, "value": value, "low": low, "high": high}


def named(labels: Mapping[str, str], report: Mapping[str, Any]) -> list[Line]:
    """The lines of a report's values that are there.

    `report`: values by key, and `intervals` by the same keys.
    """
    ends = report.get("intervals", {})
    return [(label, report[key], ends.get(key)) for key, label in labels.items() if key in report]


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _interval(ends: Sequence[float | None] | None) -> str:
    if ends is None:
        return ""
    return "no interval" if None in ends else f"{ends[0]:.3f} to {ends[1]:.3f}"
