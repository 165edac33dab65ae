"""POPE: does the model say yes to objects that are there, and no to those that are not.

The default differs from the reference script in one thing: what is neither yes nor no is counted as unparsed, and not
taken for a yes. `parser="official"` gives the reference's numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmsteer.errors import EvalError, clip
from mmsteer.eval.answer_words import Decision
from mmsteer.eval.answers import Id, Row, by_id, read_answers, read_rows
from mmsteer.eval.bootstrap import Floats, bootstrap, ratio, ratio_interval
from mmsteer.eval.odds import verdict
from mmsteer.eval.pope_parsers import PARSERS, parse_answer
from mmsteer.eval.pope_questions import Question, build_questions, question_version, read_questions, write_questions
from mmsteer.types.score import Score

Outcome = Literal["tp", "fp", "tn", "fn", "unparsed", "unscored"]
OUTCOMES: tuple[Outcome, ...] = ("tp", "fp", "tn", "fn", "unparsed", "unscored")
METRICS = ("accuracy", "precision", "recall", "f1", "yes_ratio")

# Numerator and denominator of each metric over the first five outcomes.
_RATIOS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "accuracy": ((1, 0, 1, 0, 0), (1, 1, 1, 1, 0)),
    "precision": ((1, 0, 0, 0, 0), (1, 1, 0, 0, 0)),
    "recall": ((1, 0, 0, 0, 0), (1, 0, 0, 1, 0)),
    "f1": ((2, 0, 0, 0, 0), (2, 1, 0, 1, 0)),
    "yes_ratio": ((1, 1, 0, 0, 0), (1, 1, 1, 1, 0)),
    "accuracy_floor": ((1, 0, 1, 0, 0), (1, 1, 1, 1, 1)),
}


@dataclass(frozen=True)
class PopeScore:
    """What POPE reports. Yes is the positive class; intervals are over images.

    Attributes:
        parser: How answers were read.
        accuracy: Right among the answers that were understood; lmms counts the others as wrong.
        precision: Right among those that said yes; None when none did.
        recall: Said yes among those labelled yes, as far as understood.
        f1: Harmonic mean of precision and recall.
        yes_ratio: Said yes among those understood. (lmms-eval prints the share of the labels here.)
        accuracy_floor: Right among all answers, those not understood counted as wrong.
        auc: Chance that a yes question has a higher logit than a no question; None without logits.
        counts: How many questions had each of `OUTCOMES`; they sum to all questions.
        images: How many images they are about.
    """

    parser: str
    accuracy: Score
    precision: Score
    recall: Score
    f1: Score
    yes_ratio: Score
    accuracy_floor: Score
    auc: Score | None
    counts: Mapping[Outcome, int]
    images: int

    def to_json(self) -> dict[str, Any]:
        """Plain values: each metric by its name, and `intervals` with its ends."""
        named = {name: getattr(self, name) for name in (*_RATIOS, "auc")}
        scores = {name: score for name, score in named.items() if score is not None}
        return {
            "parser": self.parser,
            **{name: score.value for name, score in scores.items()},
            "n": sum(self.counts[name] for name in OUTCOMES[:4]),
            **{str(name): count for name, count in self.counts.items()},
            "images": self.images,
            "intervals": {name: [score.low, score.high] for name, score in scores.items()},
        }


def read_outcomes(
    questions: Sequence[Question], answers: Mapping[Id, str | None], parser: str = "strict"
) -> dict[Id, Outcome]:
    """For each question whether its answer was a true or false yes or no, not understood, or not there.

    Args:
        questions: The questions.
        answers: What the model said, by the question's id; None or absent is unscored.
        parser: `official`, `vcd`, `lmms` or `strict`.

    Raises:
        EvalError: There is no such parser, or an answer has no question.
    """
    _check_known(questions, answers)
    given = {one.id: answers.get(one.id) for one in questions}
    return {
        one.id: "unscored" if (text := given[one.id]) is None else _outcome(one, parse_answer(text, parser, one.label))
        for one in questions
    }


def score_answers(questions: Sequence[Question], answers: Mapping[Id, str | None], parser: str = "strict") -> PopeScore:
    """POPE's metrics of a model's answers.

    Args:
        questions: The questions.
        answers: What the model said, by the question's id; None or absent is unscored.
        parser: `official`, `vcd`, `lmms` or `strict`.

    Raises:
        EvalError: There is no such parser, or an answer has no question.

    Source: Li et al. 2023, arXiv:2305.10355.
    """
    return _score(questions, read_outcomes(questions, answers, parser), parser, None)


def score_logits(
    questions: Sequence[Question], logits: Mapping[Id, float], masses: Mapping[Id, float] | None = None
) -> PopeScore:
    """POPE's metrics without any text: yes where yes is the likelier next word.

    Unparsed are questions at which both are as likely, or neither is likely to come (`mmsteer.eval.odds.LEAST_MASS`).
    The AUC ranks these, too.

    Args:
        questions: The questions.
        logits: log P(yes) - log P(no), by the question's id; absent is unscored.
        masses: P(yes) + P(no), by the question's id; where it is absent, the odds alone decide.

    Raises:
        EvalError: A logit is not finite, or has no question.
    """
    _check_known(questions, logits)
    masses = masses or {}
    broken = [id_ for id_, logit in logits.items() if not np.isfinite(logit)]
    if broken:
        raise EvalError(f"question {clip(broken[0])}: its logit is {logits[broken[0]]}; leave out what was not scored")
    outcomes: dict[Id, Outcome] = {
        one.id: _outcome(one, verdict(logits[one.id], masses.get(one.id))) if one.id in logits else "unscored"
        for one in questions
    }
    return _score(questions, outcomes, "logit", _auc([one for one in questions if one.id in logits], logits))


def count_flips(before: Mapping[Id, Outcome], after: Mapping[Id, Outcome]) -> dict[str, int]:
    """How many questions went from each outcome to each, such as `tp->fn`; sums to all questions.

    Raises:
        EvalError: The runs have other questions.
    """
    if before.keys() != after.keys():
        raise EvalError("the two runs answer different questions; flips compare the same ones")
    pairs = Counter((before[id_], after[id_]) for id_ in before)
    return {f"{a}->{b}": pairs[a, b] for a in OUTCOMES for b in OUTCOMES if pairs[a, b]}


def read_pope_answers(path: str | Path, questions: Sequence[Question]) -> dict[Id, str | None]:
    """The answers of a file in any layout that `read_answers` takes.

    Raises:
        EvalError: A record is broken, comes twice, or answers another question.
    """
    return read_answers(path, {one.id: one.text for one in questions})


def read_logits(path: str | Path, questions: Sequence[Question]) -> tuple[dict[Id, float], dict[Id, float]]:
    """The logits of a file of `{"question_id", "logit"}`, and P(yes) + P(no) where it has a `mass` as well.

    Raises:
        EvalError: A record is broken, comes twice, or answers another question.
    """
    rows = by_id(
        read_rows(path, ("question_id", "logit"), "a logit"), "question_id", {question.id for question in questions}
    )
    for row in rows.values():
        logit = row.fields["logit"]
        if isinstance(logit, bool) or not isinstance(logit, int | float):
            raise EvalError(f"{row.where}: logit is {clip(logit)}; give log P(yes) - log P(no), a finite number")
    masses = {id_: _mass(row) for id_, row in rows.items() if "mass" in row.fields}
    return {id_: float(row.fields["logit"]) for id_, row in rows.items()}, masses


def _mass(row: Row) -> float:
    mass = row.fields["mass"]
    # What rounding adds to a probability of 1 is none of the file's faults.
    if isinstance(mass, bool) or not isinstance(mass, int | float) or not 0 <= mass <= 1 + 1e-3:
        raise EvalError(f"{row.where}: mass is {clip(mass)}; give P(yes) + P(no), from 0 to 1, or leave it out")
    return float(mass)


def _check_known(questions: Sequence[Question], answers: Mapping[Id, object]) -> None:
    unknown = answers.keys() - {one.id for one in questions}
    if unknown:
        raise EvalError(f"{len(unknown)} answers have no question, such as {clip(next(iter(unknown)))}")


def _outcome(question: Question, decision: Decision | None) -> Outcome:
    if decision is None:
        return "unparsed"
    if decision == "yes":
        return "tp" if question.label == "yes" else "fp"
    return "tn" if question.label == "no" else "fn"


def _score(questions: Sequence[Question], outcomes: Mapping[Id, Outcome], parser: str, auc: Score | None) -> PopeScore:
    rows: dict[str, Counter[Outcome]] = defaultdict(Counter)
    for one in questions:
        rows[one.image][outcomes[one.id]] += 1
    table = np.array([[row[name] for name in OUTCOMES[:5]] for row in rows.values()], dtype=np.float64)
    scores = {
        name: ratio_interval(table @ np.array(above), table @ np.array(below))
        for name, (above, below) in _RATIOS.items()
    }
    if parser == "lmms":
        scores["accuracy"] = scores["accuracy_floor"]
    totals = Counter(outcomes.values())
    return PopeScore(parser, **scores, auc=auc, counts={name: totals[name] for name in OUTCOMES}, images=len(rows))


def _auc(questions: Sequence[Question], logits: Mapping[Id, float]) -> Score:
    """Area under the ROC curve, ties counted half, with whole images resampled."""
    values = np.array([logits[one.id] for one in questions])
    levels, places = np.unique(values, return_inverse=True)
    images = {image: row for row, image in enumerate(dict.fromkeys(one.image for one in questions))}
    # How many no and yes questions each image has at each distinct logit.
    counts = np.zeros((len(images), 2, len(levels)))
    for one, place in zip(questions, places, strict=True):
        counts[images[one.image], int(one.label == "yes"), place] += 1
    return bootstrap(_area, counts.reshape(len(images), -1))


def _area(sums: Floats) -> Floats:
    negatives, positives = np.split(sums, 2, axis=-1)
    below = np.cumsum(negatives, axis=-1) - negatives / 2
    pairs = positives.sum(axis=-1) * negatives.sum(axis=-1)
    return ratio((positives * below).sum(axis=-1), pairs)


__all__ = [
    "METRICS",
    "OUTCOMES",
    "PARSERS",
    "PopeScore",
    "Question",
    "build_questions",
    "count_flips",
    "parse_answer",
    "question_version",
    "read_logits",
    "read_outcomes",
    "read_pope_answers",
    "read_questions",
    "score_answers",
    "score_logits",
    "write_questions",
]
