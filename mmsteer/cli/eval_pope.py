"""`mmsteer eval pope` and `mmsteer eval pope-build`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mmsteer.cli.eval_out import Out
from mmsteer.cli.eval_table import AsJson, named, show
from mmsteer.cli.options import refuse_idle
from mmsteer.errors import EvalError

LABELS = {
    "accuracy": "accuracy",
    "precision": "precision of yes",
    "recall": "recall of yes",
    "f1": "F1 of yes",
    "yes_ratio": "yes ratio",
    "auc": "AUC of the logits",
    "n": "answers understood",
    "unparsed": "answers that say neither (unparsed)",
    "unscored": "questions without an answer",
    "accuracy_floor": "accuracy, unparsed as wrong",
}


def pope(
    context: typer.Context,
    questions: Annotated[Path, typer.Option(help="a POPE file: JSON lines or an array")],
    answers: Annotated[Path | None, typer.Option(help="as of POPE, LLaVA or AMBER, one a line or an array")] = None,
    logits: Annotated[
        Path | None,
        typer.Option(help='{"question_id", "logit", "mass"?} instead: log-odds of yes, P(yes) + P(no)'),
    ] = None,
    before: Annotated[Path | None, typer.Option(help="other answers, such as unsteered: count the flips")] = None,
    parser: Annotated[str, typer.Option(help="strict, official, vcd or lmms")] = "strict",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Score yes-or-no answers about objects (POPE); yes is the positive class.

    [bold]Example[/]

    mmsteer eval pope --questions coco_pope_random.json --answers answers.jsonl --parser official --json
    """
    if logits is not None:
        refuse_idle(context, ("parser",), "is about written answers, and logits need none; give --answers")
    _check(answers, logits, before)
    from mmsteer.eval.answers import sha256
    from mmsteer.eval.pope import question_version, read_questions

    asked = read_questions(questions)
    report = _report(asked, answers, logits, before, parser)
    report["questions"] = {
        "file": questions.name,
        "rows": len(asked),
        "sha256": sha256(questions),
        "version": question_version(asked),
    }
    flips = [
        (f"flips {name}", n, None) for name, n in report.get("flips", {}).items() if len(set(name.split("->"))) > 1
    ]
    title = f"POPE, {len(asked)} questions, parser {report['parser']}"
    show(title, [*named(LABELS, report), *flips], report, as_json, out)


def _check(answers: Path | None, logits: Path | None, before: Path | None) -> None:
    if (answers is None) == (logits is None) or (before is not None and answers is None):
        raise EvalError("give --answers FILE, with --before FILE or without, or give --logits FILE")


def _report(asked: Any, answers: Path | None, logits: Path | None, before: Path | None, parser: str) -> dict[str, Any]:
    from mmsteer.eval.pope import (
        count_flips,
        read_logits,
        read_outcomes,
        read_pope_answers,
        score_answers,
        score_logits,
    )

    if logits is not None:
        return score_logits(asked, *read_logits(logits, asked)).to_json()
    said = read_pope_answers(answers or Path(), asked)
    report = score_answers(asked, said, parser).to_json()
    if before is not None:
        earlier = read_outcomes(asked, read_pope_answers(before, asked), parser)
        report["flips"] = count_flips(earlier, read_outcomes(asked, said, parser))
    return report


def pope_build(
    objects: Annotated[Path, typer.Option(help="JSON of {image: \\[object, ...]}; the first three are asked for")],
    split: Annotated[str, typer.Option(help="random, popular or adversarial")],
    out: Annotated[Path, typer.Option(help="the file to write, as POPE publishes it; never overwritten")],
    images: Annotated[int | None, typer.Option(min=1, help="draw this many images (default: all that qualify)")] = None,
    seed: Annotated[int, typer.Option(min=0, help="seed of all that is drawn")] = 0,
) -> None:
    """Build POPE questions from any annotations, six for each image with three kinds of objects.

    [bold]Example[/]

    mmsteer eval pope-build --objects objects.json --split adversarial --images 500 --out adversarial.json
    """
    from mmsteer.eval.pope import build_questions, write_questions
    from mmsteer.eval.pope_questions import read_object_lists

    built = build_questions(read_object_lists(objects), split, seed, images)
    write_questions(out, built)
    print(f"{out}: {len(built)} questions about {len({one.image for one in built})} images")
