"""`mmsteer eval mme`."""

from pathlib import Path
from typing import Annotated

import typer

from mmsteer.cli.eval_table import named, show

LABELS = {
    "perception": "perception, of 2000",
    "cognition": "cognition, of 800",
    "hallucination": "existence, count, position and color, of 800",
    "unparsed": "answers that say neither, counted as wrong",
}


def mme(
    answers: Annotated[
        Path, typer.Option("--answers", "--results", help="folder of existence.txt and so on, one file a subtask")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Score yes-or-no answers in 14 subtasks (MME): accuracy plus accuracy over images.

    [bold]Example[/]

    mmsteer eval mme --answers my_results --json
    """
    from mmsteer.eval.mme import mme_json, score_mme

    report = mme_json(score_mme(answers))
    parts = [(name, one["score"], one["interval"]) for name, one in report["subtasks"].items()]
    show("MME", [*named(LABELS, report), *parts], report, as_json)
