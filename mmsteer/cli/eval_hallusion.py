"""`mmsteer eval hallusionbench`."""

from pathlib import Path
from typing import Annotated

import typer

from mmsteer.cli.eval_table import named, show

LABELS = {
    "aAcc": "aAcc: questions right",
    "qAcc": "qAcc: questions right for every figure",
    "fAcc": "fAcc: figures with every question right",
    "n": "answers",
    "unparsed": "answers that say neither, counted as wrong",
    "unscored": "questions without an answer",
}


def hallusionbench(
    answers: Annotated[Path, typer.Option(help="HallusionBench.json with model_prediction filled in")],
    parser: Annotated[str, typer.Option(help="strict, official or lmms, as in POPE")] = "strict",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Score yes-or-no answers about figures and altered figures (HallusionBench).

    [bold]Example[/]

    mmsteer eval hallusionbench --answers answers.json --json
    """
    from mmsteer.eval.hallusion import read_items, score_hallusion

    report = score_hallusion(read_items(answers), parser).to_json()
    show(f"HallusionBench, parser {parser}", named(LABELS, report), report, as_json)
