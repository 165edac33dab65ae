"""`mmsteer eval hallusionbench|mme|mmhal`."""

from pathlib import Path
from typing import Annotated

import typer

from mmsteer.cli.eval_out import Out
from mmsteer.cli.eval_table import AsJson, named, show

HALLUSION = {
    "aAcc": "aAcc: questions right",
    "qAcc": "qAcc: questions right for every figure",
    "fAcc": "fAcc: figures with every question right",
    "n": "answers",
    "unparsed": "answers that say neither, counted as wrong",
    "unscored": "questions without an answer",
}
MME = {
    "perception": "perception, of 2000",
    "cognition": "cognition, of 800",
    "hallucination": "existence, count, position and color, of 800",
    "unparsed": "answers that say neither, counted as wrong",
}
MMHAL = {
    "rating": "rating, 0 to 6",
    "hallucination_rate": "share rated below 3",
    "n": "answers rated",
    "unparsed": "verdicts without one rating",
    "unscored": "questions without an answer",
}


def hallusionbench(
    answers: Annotated[Path, typer.Option(help="HallusionBench.json with model_prediction filled in")],
    parser: Annotated[str, typer.Option(help="strict, official or lmms, as in POPE")] = "strict",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Score yes-or-no answers about figures and altered figures (HallusionBench).

    [bold]Example[/]

    mmsteer eval hallusionbench --answers answers.json --json
    """
    from mmsteer.eval.hallusion import read_items, score_hallusion

    report = score_hallusion(read_items(answers), parser).to_json()
    show(f"HallusionBench, parser {parser}", named(HALLUSION, report), report, as_json, out)


def mme(
    answers: Annotated[
        Path, typer.Option("--answers", "--results", help="folder of existence.txt and so on, one file a subtask")
    ],
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Score yes-or-no answers in 14 subtasks (MME): accuracy plus accuracy over images.

    [bold]Example[/]

    mmsteer eval mme --answers my_results --json
    """
    from mmsteer.eval.mme import mme_json, score_mme

    report = mme_json(score_mme(answers))
    parts = [(name, one["score"], one["interval"]) for name, one in report["subtasks"].items()]
    show("MME", [*named(MME, report), *parts], report, as_json, out)


def mmhal(
    answers: Annotated[Path, typer.Option(help="MMHal-Bench's response file with model_answer filled in")],
    compat: Annotated[str, typer.Option(help="fixed, or official: an unreadable verdict is rated 0")] = "fixed",
    out: Out = None,
    as_json: AsJson = False,
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
    show(f"MMHal-Bench, judged by {judge.model}", [*named(MMHAL, report), *kinds], report, as_json, out)
