"""`mmsteer eval amber`."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from mmsteer.cli.eval_out import Out
from mmsteer.cli.eval_table import AsJson, Line, named, show
from mmsteer.errors import EvalError

LABELS = {
    "chair": "CHAIR: mentions that are hallucinated",
    "cover": "Cover: objects of the truth that are named",
    "hal": "Hal: responses with a hallucination",
    "cog": "Cog: tempting objects that are named",
    "length": "words a response",
    "empty": "empty responses",
    "n": "descriptions",
    "unscored": "descriptions missing",
}


def amber(
    answers: Annotated[
        Path, typer.Option("--answers", "--responses", help='{"id", "response"}, a JSON array or one a line')
    ],
    data: Annotated[Path, typer.Option(help="folder of annotations.json, relation.json and safe_words.txt")],
    parser: Annotated[str, typer.Option(help="exact: Yes or No to the letter, as published; or strict")] = "exact",
    compat: Annotated[str, typer.Option(help="fixed, or official: a mention covers one object alone")] = "fixed",
    similarity: Annotated[str, typer.Option(help="exact, or a model of spaCy such as en_core_web_lg")] = "exact",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Score descriptions and yes-or-no answers (AMBER), in percent; no is the positive class.

    [bold]Example[/]

    mmsteer eval amber --answers responses.json --data AMBER/data --json
    """
    from mmsteer.eval import amber as judge
    from mmsteer.eval.amber_words import read_vocabulary, same_word, spacy_similarity

    _check(parser, compat)
    queries = [path for path in (data / "query_all.json", data / "query" / "query_all.json") if os.path.isfile(path)]
    items = judge.read_items(data / "annotations.json", queries[0] if queries else None)
    said = judge.read_responses(answers, items)
    similar = same_word if similarity == "exact" else spacy_similarity(similarity)
    vocabulary = read_vocabulary(data / "relation.json", data / "safe_words.txt")
    described = judge.score_descriptions(items, said, vocabulary, similar=similar, compat=compat)
    report = judge.amber_json(described, judge.score_questions(items, said, parser))
    report |= {"parser": parser, "compat": compat, "similarity": similarity}
    show(f"AMBER, parser {parser}, similarity {similarity}", _lines(report), report, as_json, out)


def _check(parser: str, compat: str) -> None:
    if parser not in ("exact", "strict") or compat not in ("fixed", "official"):
        raise EvalError(f"--parser {parser} --compat {compat}: give exact or strict, and fixed or official")


def _lines(report: dict[str, Any]) -> list[Line]:
    lines: list[Line] = [("AMBER score", report["amber_score"], None), *named(LABELS, report["generative"])]
    for name, score in report["discriminative"].items():
        if score is not None:
            lines += [(f"{name}: accuracy", score["accuracy"], score["interval"]), (f"{name}: F1", score["f1"], None)]
            lines += [(f"{name}: unparsed", score["unparsed"], None), (f"{name}: unscored", score["unscored"], None)]
    return lines
