"""HallusionBench: yes-or-no questions that come with an image, an altered image, or none.

The reference lets a language model say whether a free answer is right; here an answer is read by a yes-or-no rule, as
VLMEvalKit does. An answer that says neither is wrong, as an unclear one is there, and is counted.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsteer.errors import EvalError
from mmsteer.eval.answers import Row, read_rows
from mmsteer.eval.pope_parsers import parse_answer
from mmsteer.types.score import Score, mean_score

PLACE = ("category", "subcategory", "set_id", "figure_id", "question_id")
KEYS = (*PLACE, "gt_answer", "model_prediction")


@dataclass(frozen=True)
class Item:
    """One question and what the model said.

    Attributes:
        category: VD, which needs the image, or VS, which can be answered without.
        subcategory: Such as chart or illusion.
        set_id: Figures and questions of one set belong together.
        figure_id: Which figure; 0 is the original one, or none at all in VS.
        question_id: Which question.
        truth: yes or no.
        answer: What the model said; None where it has not answered.
    """

    category: str
    subcategory: str
    set_id: str
    figure_id: str
    question_id: str
    truth: str
    answer: str | None

    @property
    def group(self) -> tuple[str, str, str]:
        """What its figures and questions are grouped within."""
        return self.category, self.subcategory, self.set_id


@dataclass(frozen=True)
class HallusionScore:
    """The three accuracies; a question without an answer, and the groups it is in, are unscored.

    Intervals are over sets: questions and figures of one set stand and fall together.

    Attributes:
        a_acc: Questions that are right.
        q_acc: Questions that are right for every figure of their set.
        f_acc: Figures all of whose questions are right; VS questions without a figure are left out.
        unparsed: Answers that say neither yes nor no, counted as wrong.
    """

    a_acc: Score
    q_acc: Score
    f_acc: Score
    unparsed: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        named = {"aAcc": self.a_acc, "qAcc": self.q_acc, "fAcc": self.f_acc}
        return {name: score.value for name, score in named.items()} | {
            "n": self.a_acc.n,
            "unparsed": self.unparsed,
            "unscored": self.a_acc.unscored,
            "questions": self.q_acc.n,
            "figures": self.f_acc.n,
            "intervals": {name: [score.low, score.high] for name, score in named.items()},
        }


def read_items(path: str | Path) -> tuple[Item, ...]:
    """The rows of `HallusionBench.json` with the model's answers as `model_prediction`; null is unscored.

    Raises:
        EvalError: A row is broken, comes twice, or is of another benchmark.
    """
    seen: dict[tuple[str, ...], int] = {}
    items = []
    for row in read_rows(path, KEYS, "a HallusionBench answer"):
        place = tuple(str(row.fields[key]) for key in PLACE)
        if place in seen:
            raise EvalError(f"{row.where}: question {'/'.join(place)} came before, on line {seen[place]}")
        seen[place] = row.line
        items.append(_item(row))
    return tuple(items)


def _item(row: Row) -> Item:
    category, subcategory, set_id, figure_id, question_id = (str(row.fields[key]) for key in PLACE)
    truth = {"1": "yes", "0": "no"}[row.word("gt_answer", ("0", "1"))]
    answer = None if row.fields["model_prediction"] is None else row.text("model_prediction")
    return Item(category, subcategory, set_id, figure_id, question_id, truth, answer)


def score_hallusion(items: Sequence[Item], parser: str = "strict") -> HallusionScore:
    """The accuracies per question, per question over figures, and per figure.

    `parser`: how an answer is read: one of POPE's that do not look at the label.

    Raises:
        EvalError: There is no such parser.

    Source: Guan et al. 2024, HallusionBench, arXiv:2310.14566.
    """
    said = [None if item.answer is None else parse_answer(item.answer, parser) for item in items]
    right = [None if item.answer is None else one == item.truth for item, one in zip(items, said, strict=True)]
    pairs = list(zip(items, right, strict=True))
    figures = [(item, one) for item, one in pairs if (item.category, item.figure_id) != ("VS", "0")]
    return HallusionScore(
        a_acc=mean_score([None if one is None else float(one) for one in right], groups=[item.group for item in items]),
        q_acc=_all_right((item.group, item.question_id, one) for item, one in pairs),
        f_acc=_all_right((item.group, item.figure_id, one) for item, one in figures),
        unparsed=sum(item.answer is not None and one is None for item, one in zip(items, said, strict=True)),
    )


def _all_right(answers: Iterable[tuple[Hashable, str, bool | None]]) -> Score:
    """How many of what shares a set and an id are right throughout, with an interval over sets."""
    found: dict[tuple[Hashable, str], list[bool | None]] = defaultdict(list)
    for group, part, right in answers:
        found[group, part].append(right)
    return mean_score(
        [None if None in values else float(all(values)) for values in found.values()],
        groups=[group for group, _ in found],
    )
