"""Outputs → numbers, by the names that a recipe writes under `score`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mmsteer.errors import EvalError
from mmsteer.eval.answer_words import after_thinking
from mmsteer.eval.attributes import EVALUATORS, read_file
from mmsteer.eval.audio import read_audio
from mmsteer.eval.audio_reward import AudioReward, parse_audio_reward
from mmsteer.eval.text import NamedReward, Reference, parse_reward
from mmsteer.eval.words import count_words
from mmsteer.recipes.beside import Pair, share
from mmsteer.recipes.rows.functions import Function, called, rated
from mmsteer.types.metric import Metric

Output = Mapping[str, Any]
"""What the log holds of an output: `text`; and `surprise`, `right`, where the model itself was asked for them."""
Judge = Callable[[Output, Reference], Pair | None]
Measure = str | Callable[[Any], float | None]
"""What a metric measures: a name, or a function of an answer (text) or of an `Audio`."""
OF_OPTIONS = ("choice", "right_choice")
"""Rewards of multiple choice."""


@dataclass(frozen=True)
class Scorer:
    """One number an output.

    Attributes:
        metric: What its mean over outputs is.
        score: What an output adds to the two sums of the metric; None, or nothing below, where it cannot be scored.
        asks: What the model must be asked while it runs: `surprise` or `options`; None for nothing.
        needs: The keys that a row must have for its output to be scored, such as `answer` or `attributes.instrument`.
    """

    metric: Metric
    score: Judge
    asks: Literal["surprise", "options"] | None = None
    needs: tuple[str, ...] = ()


def text_scorers(measures: Mapping[str, Measure]) -> tuple[Scorer, ...]:
    """Scorers of text.

    `measures`: for the name of each metric what it measures: a reward, a name in `TEXT`, or a function of an answer.

    Raises:
        EvalError: There is no such scorer; the message has a line for each.
    """
    return _parsed(measures, _text_scorer, _own_text_scorer)


def audio_scorers(measures: Mapping[str, Measure]) -> tuple[Scorer, ...]:
    """Scorers of audio, whose outputs hold the `readings` of `read_audio_file`.

    `measures`: for the name of each metric what it measures, such as `note:C` or `voiced`, or a function of an `Audio`.

    Raises:
        EvalError: There is no such scorer; the message has a line for each.
    """
    return _parsed(measures, _audio_scorer, lambda name, _: lambda output, truth: share(output["readings"][name]))


def read_audio_file(path: Path, measures: Mapping[str, Measure]) -> dict[str, Any]:
    """What the evaluators behind some scorers read in a file, and what functions make of it, by metric.

    `measures`: what is measured, as for `audio_scorers`.

    Raises:
        EvalError: The file cannot be read, or a function fails or gives no finite number.
    """
    needed = {parse_audio_reward(name).evaluator for name in measures.values() if isinstance(name, str)}
    own = {
        name: rated(name, measure, read_audio(path))
        for name, measure in measures.items()
        if not isinstance(measure, str)
    }
    return {**read_file(path, [name for name in EVALUATORS if name in needed]), **own}


def _parsed(
    measures: Mapping[str, Measure], parse: Callable[[str], Scorer], own: Callable[[str, Callable[[Any], Any]], Judge]
) -> tuple[Scorer, ...]:
    found, problems = [], []
    for name, measure in measures.items():
        if not isinstance(measure, str):
            found.append(Scorer(Metric(name, f"Mean of {called(measure)}.", None, ""), own(name, measure)))
            continue
        try:
            scorer = parse(measure)
            found.append(replace(scorer, metric=replace(scorer.metric, name=name)))
        except EvalError as cause:
            problems.append(str(cause))
    if problems:
        raise EvalError("\n".join(problems))
    return tuple(found)


def _text_scorer(name: str) -> Scorer:
    if name in TEXT:
        return TEXT[name]
    try:
        reward = parse_reward(name)
    except EvalError as cause:
        raise EvalError(f"{cause}; beside rewards there are {', '.join(TEXT)}") from None
    return Scorer(
        reward.metric, lambda output, truth: share(reward([output["text"]], [truth])[0]), needs=_needs(reward)
    )


def _own_text_scorer(name: str, function: Function) -> Judge:
    return lambda output, truth: share(rated(name, function, output["text"]))


def _audio_scorer(name: str) -> Scorer:
    reward = parse_audio_reward(name)
    return Scorer(
        reward.metric, lambda output, truth: share(reward.rate(output["readings"], truth)), needs=_needs(reward)
    )


def _needs(reward: NamedReward | AudioReward) -> tuple[str, ...]:
    kind = reward.name.removeprefix("not ").strip()
    if kind in OF_OPTIONS:
        return "answer", "options"
    if reward.needs == "attributes":
        return (f"attributes.{kind}",)
    return () if reward.needs is None else (reward.needs,)


TEXT: Mapping[str, Scorer] = {
    "length": Scorer(
        Metric("length", "Words of an answer, its thoughts left out.", None, "words", decimals=1),
        lambda output, _: share(count_words(after_thinking(output["text"]))),
    ),
    "blank": Scorer(
        Metric("blank", "Share of answers without a word.", "lower", "share"),
        lambda output, _: share(not after_thinking(output["text"]).strip()),
    ),
    "surprise": Scorer(
        Metric(
            "surprise",
            "Mean of minus the log-probability of an answer's tokens under the unsteered model: the logarithm of "
            "its perplexity.",
            "lower",
            "nats/token",
        ),
        lambda output, _: (output["surprise"][0], output["surprise"][1]),
        asks="surprise",
    ),
    "options": Scorer(
        Metric(
            "options",
            "Share of multiple-choice questions whose right option has the highest log-probability a token.",
            "higher",
            "share",
        ),
        lambda output, _: share(output["right"]),
        asks="options",
        needs=("answer", "options"),
    ),
}
"""What is measured in text beside rewards."""
