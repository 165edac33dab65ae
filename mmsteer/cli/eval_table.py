"""What the commands that judge answers print."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from mmsteer.cli.tables import table

AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
Line = tuple[str, float | int | None, Sequence[float | None] | None]


def show(title: str, lines: Sequence[Line], report: Mapping[str, Any], as_json: bool) -> None:
    """A table of named values with their intervals, or all there is as JSON.

    `lines`: what a value is, the value, and the ends of its interval.
    """
    if as_json:
        print(json.dumps(report, allow_nan=False))
        return
    from rich.console import Console

    rows = [(label, _number(value), _interval(interval)) for label, value, interval in lines]
    Console().print(table(("", "value", "95 % interval"), rows, title))


def named(labels: Mapping[str, str], report: Mapping[str, Any]) -> list[Line]:
    """The lines of a report's values that are there.

    `report`: values by key, and `intervals` by the same keys.
    """
    ends = report.get("intervals", {})
    return [(label, report[key], ends.get(key)) for key, label in labels.items() if key in report]


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _interval(ends: Sequence[float | None] | None) -> str:
    return "" if ends is None or None in ends else f"{ends[0]:.3f} to {ends[1]:.3f}"
