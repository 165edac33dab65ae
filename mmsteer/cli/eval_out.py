"""The files that `mmsteer eval --out` writes."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from mmsteer.cli.files import write_out
from mmsteer.errors import EvalError

FORMS = (".csv", ".html", ".json")


def _new_file(out: Path | None) -> Path | None:
    """Refuse, before the work, a name that says no form and a file that is there already.

    Raises:
        EvalError: It is one of them, or its folder is missing.
    """
    if out is None:
        return None
    if out.suffix.lower() not in FORMS:
        raise EvalError(f"--out {out}: the end of the name says what is written: {', '.join(FORMS)}")
    if os.path.exists(out):
        raise EvalError(f"--out {out}: there is such a file already; choose another name")
    if not os.path.isdir(out.parent):
        raise EvalError(f"--out {out}: there is no folder {out.parent}; make it first")
    return out


Out = Annotated[
    Path | None,
    typer.Option(callback=_new_file, help="also write what was found to a new file: .json, .csv, or .html for a page"),
]


def write_report(
    out: Path,
    title: str,
    report: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    headings: Sequence[str],
    texts: Sequence[Sequence[str]],
) -> None:
    """Write what a judge found.

    `report`: all there is, for JSON.
    `rows`: the lines of a table, for CSV; those with `file` are played on the page.
    `headings`, `texts`: the table as it is printed, for the page.

    Raises:
        DataError: The file cannot be written.
    """
    form = out.suffix.lower()
    if form == ".json":
        text = json.dumps(report, allow_nan=False, indent=1) + "\n"
    elif form == ".csv":
        text = _table(rows)
    else:
        from mmsteer.report.eval_page import eval_page

        clips = [_address(out, row["file"]) for row in rows if "file" in row]
        text = eval_page(title, headings, texts, clips)
    write_out(out, text.encode(errors="backslashreplace"))


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    made = io.StringIO()
    writer = csv.DictWriter(made, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: json.dumps(one) if isinstance(one, dict) else one for key, one in row.items()} for row in rows
    )
    return made.getvalue()


def _address(out: Path, file: str) -> str:
    """Where a file lies, seen from the page."""
    return quote(os.path.relpath(file, out.parent).replace(os.sep, "/"), errors="surrogateescape")
