"""Rewards by name: a number in [0, 1] for each answer.

A reward is written as `name`, `name:argument` or `not name:argument`; see `REWARDS`. It never names code to import.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal, Protocol

from mmsteer.errors import EvalError, clip
from mmsteer.eval.answer_words import after_thinking
from mmsteer.eval.judge import EndpointJudge, Judge
from mmsteer.eval.text.arguments import DIGITS, whole_number
from mmsteer.eval.text.captions import is_brief, is_decision, is_grounded, names_any, object_class
from mmsteer.eval.text.choice import parse_choice, right_option
from mmsteer.eval.text.instruction import parse_instruction
from mmsteer.eval.text.matching import contains, is_exact
from mmsteer.eval.text.pattern import Pattern
from mmsteer.eval.text.reference import Reference
from mmsteer.eval.text.refusal import refuses
from mmsteer.eval.text.rubrics import parse_rubric, rate
from mmsteer.eval.text.similarity import Embed, cosine_similarity, minilm, minilm_folder
from mmsteer.eval.words import repetition
from mmsteer.types.metric import Metric

Values = list[float | None]
Rates = Callable[[Sequence[str], Sequence[Reference]], Values]
Rate = Callable[[str, Reference], float | bool | None]
Needs = Literal["answer", "instructions", "objects", "attributes"]
"""A part of a reference."""


class Reward(Protocol):
    """A number in [0, 1] for an answer; None where it cannot be known (a missing answer is not a wrong one).

    What stands behind a model's thoughts is read (`<think>...</think>`); thoughts that never end leave a blank answer.
    A blank answer is a missing one for every reward, and for its negation: a model that has fallen silent neither
    follows nor refuses. How many answers are blank is a measure of its own, `mmsteer.eval.words`.

    Attributes:
        name: As it is written in a recipe or on the command line, such as `contains:Arr`.
        metric: What its mean over answers is.
    """

    @property
    def name(self) -> str:
        """As it is written."""

    @property
    def metric(self) -> Metric:
        """What its mean over answers is."""

    def __call__(self, answers: Sequence[str], references: Sequence[Reference]) -> Values:
        """One number an answer.

        Args:
            answers: What the model wrote.
            references: What is true of each sample.

        Raises:
            EvalError: The lists differ in length, or a reference does not fit the reward.
        """


@dataclass(frozen=True)
class NamedReward:
    """A reward made from its name.

    Attributes:
        name: As it is written.
        metric: What its mean over answers is.
        rates: Numbers of answers that are not blank.
        negated: Whether 1 minus the number is given.
        needs: What a reference must have for an answer to be rated; None for nothing.
    """

    name: str
    metric: Metric
    rates: Rates
    negated: bool = False
    needs: Needs | None = None

    def __call__(self, answers: Sequence[str], references: Sequence[Reference]) -> Values:
        """One number an answer; None where it is blank or cannot be known.

        Args:
            answers: What the model wrote.
            references: What is true of each sample.

        Raises:
            EvalError: The lists differ in length, or a reference does not fit the reward.
        """
        if len(answers) != len(references):
            raise EvalError(f"{self.name}: {len(answers)} answers and {len(references)} references; give one each")
        said = [after_thinking(answer) for answer in answers]
        given = [place for place, answer in enumerate(said) if answer.strip()]
        values: Values = [None] * len(answers)
        found = self.rates([said[place] for place in given], [references[place] for place in given])
        for place, value in zip(given, found, strict=True):
            values[place] = 1 - value if self.negated and value is not None else value
        return values


@dataclass(frozen=True)
class Models:
    """Models that rewards ask; None for the default one, found when a reward that needs it is parsed.

    Attributes:
        embed: Sentence embeddings; all-MiniLM-L6-v2 by default.
        judge: Who rates; by default the endpoint that the environment names.
    """

    embed: Embed | None = None
    judge: Judge | None = None


@dataclass(frozen=True)
class Kind:
    """One kind of reward.

    Attributes:
        usage: How it is written.
        make: From the argument (None where there is no colon) to what rates answers.
        meaning: What the mean over answers is.
        better: Which direction is an improvement; None where that depends on the argument or the aim.
        needs: What references must have; None for nothing, or where that depends on the argument.
    """

    usage: str
    make: Callable[[str | None, Models], Rates]
    meaning: str
    better: Literal["higher", "lower"] | None = None
    needs: Needs | None = None

    def metric(self, name: str, negated: bool) -> Metric:
        """What the mean of such a reward is.

        Args:
            name: The reward as it is written.
            negated: Whether 1 minus the number is given.
        """
        if not negated:
            return Metric(name, self.meaning, self.better, "share")
        better: dict[str | None, Literal["higher", "lower"]] = {"higher": "lower", "lower": "higher"}
        return Metric(name, f"1 minus: {self.meaning}", better.get(self.better), "share")


def parse_reward(text: str, models: Models | None = None) -> NamedReward:
    r"""Read a reward, such as `contains:Arr|Ahoy`, `regex:^\s*Yes`, `instruction:max_words=20` or `not refusal`.

    Args:
        text: As it is written.
        models: What embeds and judges, where not the default ones.

    Raises:
        EvalError: There is no such reward, its argument does not fit, or a model that it needs is missing.

    >>> parse_reward("not contains:Arr")(["Arr!", "Hello.", " "], [Reference("Greet me.")] * 3)
    [0.0, 1.0, None]
    """
    plain = text.strip().removeprefix("not ").strip()
    name, colon, argument = plain.partition(":")
    if name not in REWARDS:
        raise EvalError(
            f"no reward {text!r}; write {', '.join(kind.usage for kind in REWARDS.values())}, or not and one of them"
        )
    kind = REWARDS[name]
    try:
        rates = kind.make(argument if colon else None, models or Models())
    except EvalError as error:
        raise EvalError(f"reward {text!r}: {error}") from None
    negated = plain != text.strip()
    return NamedReward(text.strip(), kind.metric(text.strip(), negated), rates, negated, kind.needs)


def _each(rate: Rate) -> Rates:
    def rates(answers: Sequence[str], references: Sequence[Reference]) -> Values:
        values = (rate(answer, reference) for answer, reference in zip(answers, references, strict=True))
        return [None if value is None else float(value) for value in values]

    return rates


def _plain(rate: Rate) -> Callable[[str | None, Models], Rates]:
    def make(argument: str | None, _: Models) -> Rates:
        if argument is not None:
            raise EvalError(f"it takes no argument, and {argument!r} was given")
        return _each(rate)

    return make


def _given(argument: str | None) -> str:
    if argument is None or not argument.strip():
        raise EvalError("give an argument after the colon")
    return argument


def _contains(argument: str | None, _: Models) -> Rates:
    parts = _given(argument).split("|")
    if not all(part.strip() for part in parts):
        raise EvalError("a text beside | is empty, which every answer contains; leave the | out")
    return _each(lambda answer, _: contains(answer, parts))


def _regex(argument: str | None, _: Models) -> Rates:
    pattern = Pattern(_given(argument))
    return _each(lambda answer, _: pattern.matches(answer))


def _exact(answer: str, reference: Reference) -> bool | None:
    return None if reference.answer is None else is_exact(answer, reference.answer)


def _choice(answer: str, reference: Reference) -> bool | None:
    right = right_option(reference)
    found = None if right is None else parse_choice(answer, reference.options)
    return None if found is None else found == right


def _right_choice(answer: str, reference: Reference) -> bool | None:
    return None if right_option(reference) is None else bool(_choice(answer, reference))


def _instruction(argument: str | None, _: Models, *, loose: bool = False) -> Rates:
    fixed = None if argument is None else [parse_instruction(argument)]

    def follows(answer: str, reference: Reference) -> bool | None:
        asked = [parse_instruction(text) for text in reference.instructions] if fixed is None else fixed
        return all(one.follows(answer, loose=loose) for one in asked) if asked else None

    return _each(follows)


def _similarity(argument: str | None, models: Models) -> Rates:
    if argument is not None:
        raise EvalError(f"it takes no argument, and {argument!r} was given")
    if models.embed is None:
        minilm_folder()  # missing, it is reported now; present, it is loaded when it is first used
    loaded: list[Embed] = [models.embed] if models.embed else []

    def rates(answers: Sequence[str], references: Sequence[Reference]) -> Values:
        if not loaded:
            loaded.append(minilm())
        cosines = cosine_similarity(answers, [reference.answer or "" for reference in references], loaded[0])
        return [None if cosine is None else min(max(cosine, 0.0), 1.0) for cosine in cosines]

    return rates


def _mentions(argument: str | None, _: Models) -> Rates:
    objects = [object_class(name) for name in _given(argument).split("|")]
    return _each(lambda answer, _: names_any(answer, objects))


def _brief(argument: str | None, _: Models) -> Rates:
    given = _given(argument)
    most = whole_number(given)
    if not most:
        raise EvalError(f"{clip(given)} is no number of words, of at most {DIGITS} digits; write such as brief:14")
    return _each(lambda answer, _: is_brief(answer, most))


def _judge(argument: str | None, models: Models) -> Rates:
    rubric = parse_rubric(_given(argument))
    judge = models.judge or EndpointJudge.from_environment()
    return lambda answers, references: list(rate(judge, rubric, answers, references).values)


REWARDS: Mapping[str, Kind] = MappingProxyType(
    {
        "contains": Kind(
            "contains:TEXT|TEXT", _contains, "Share of answers that contain one of the texts, in any case."
        ),
        "regex": Kind("regex:PATTERN", _regex, "Share of answers in which the regular expression matches."),
        "exact": Kind(
            "exact",
            _plain(_exact),
            "Share of answers that are the right one, but for case and punctuation.",
            "higher",
            "answer",
        ),
        "choice": Kind(
            "choice",
            _plain(_choice),
            "Share of answers that give the right option, among those that give one.",
            "higher",
            "answer",
        ),
        "right_choice": Kind(
            "right_choice",
            _plain(_right_choice),
            "Share of answers that give the right option; one that gives none, or several, is wrong.",
            "higher",
            "answer",
        ),
        "refusal": Kind(
            "refusal", _plain(lambda answer, _: refuses(answer)), "Share of answers that decline the request, by rules."
        ),
        "instruction": Kind(
            "instruction[:CHECK=VALUE]",
            _instruction,
            "Share of answers that follow all their instructions, strictly.",
            "higher",
        ),
        "loose_instruction": Kind(
            "loose_instruction[:CHECK=VALUE]",
            partial(_instruction, loose=True),
            "Share of answers of which a relaxed form follows all their instructions.",
            "higher",
        ),
        "repetition": Kind(
            "repetition",
            _plain(lambda answer, _: repetition(answer)),
            "Share of an answer's runs of four words that occur earlier in it.",
            "lower",
        ),
        "similarity": Kind(
            "similarity",
            _similarity,
            "Cosine of the embeddings of an answer and the right one, not below 0.",
            "higher",
            "answer",
        ),
        "grounded": Kind(
            "grounded",
            _plain(is_grounded),
            "Share of captions that name an object of the image, and none that it does not show.",
            "higher",
            "objects",
        ),
        "mentions": Kind("mentions:OBJECT|OBJECT", _mentions, "Share of captions that name one of the objects."),
        "brief": Kind("brief:WORDS", _brief, "Share of captions that have at most so many words, and name an object."),
        "yes_no": Kind(
            "yes_no",
            _plain(is_decision),
            "Share of answers that are yes or no as the right one is, among those that are one of the two.",
            "higher",
            "answer",
        ),
        "judge": Kind(
            "judge:RUBRIC or judge:QUESTION?", _judge, "Mean rating by the judge, scaled to 0 to 1.", "higher"
        ),
    }
)
"""The rewards by name."""
