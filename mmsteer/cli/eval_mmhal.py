"""`mmsteer eval mmhal`."""

from pathlib import Path
from typing import Annotated

import typer

from mmsteer.cli.eval_table import named, show

LABELS = {
    "rating": "rating, 0 to 6",
    "hallucination_rate": "share rated below 3",
    "n": "answers rated",
    "unparsed": "verdicts without one rating",
    "unscored": "questions without an answer",
}


def mmhal(
    answers: Annotated[Path, typer.Option(help="MMHal-Bench's response file with model_answer filled in")],
    compat: Annotated[str, typer.Option(help="fixed, or official: an unreadable verdict is rated 0")] = "fixed",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Have open answers rated by a language model (MMHal-Bench).

    The environment names it: MMSTEER_JUDGE_URL, MMSTEER_JUDGE_MODEL, MMSTEER_JUDGE_KEY; any endpoint that speaks
    OpenAI's chat completions.

    [bold]Example[/]

    MMSTEER_JUDGE_URL=http://localhost:8000/v1 MMSTEER_JUDGE_MODEL=judge mmsteer eval mmhal --answers answers.json
    """
    from mmsteer.eval.judge import EndpointJudge
    from mmsteer.eval.mmhal import read_items, score_mmhal

    items = read_items(answers)
    judge = EndpointJudge.from_environment()
    report = score_mmhal(items, judge, compat=compat).to_json() | {"judge": judge.model, "compat": compat}
    kinds = [(f"rating of {kind}", value, None) for kind, value in report["by_type"].items()]
    show(f"MMHal-Bench, judged by {judge.model}", [*named(LABELS, report), *kinds], report, as_json)
