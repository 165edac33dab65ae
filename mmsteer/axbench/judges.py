"""Ratings of steered answers, 0 to 2 each: is the concept there, was the instruction followed, is it fluent?"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmsteer.adapters import AnyAdapter
from mmsteer.axbench.concepts import Concept
from mmsteer.axbench.detection import auroc
from mmsteer.bundled.dictionary import BUNDLED
from mmsteer.errors import EvalError
from mmsteer.eval.judge import Judge
from mmsteer.eval.text import Reference, harmonic_mean, minilm, parse_rubric, rate
from mmsteer.eval.text.loops import find_loop
from mmsteer.eval.text.similarity import Embed
from mmsteer.likelihood import output_likelihood
from mmsteer.types import Sample

BATCH = 16
FOLDS = 4
NATS = 1.0
"""By how much an answer may be less likely a token than nearly all unsteered ones, and still be readable."""

ANYTHING = "Say something."
"""The prompt behind which the fluency of every answer is measured."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rating:
    """Three ratings of one answer, 0, 1 or 2 each; None where a judge gave none.

    Attributes:
        concept: Is the concept there?
        instruction: Is it an answer to the instruction?
        fluency: Does it read well?
    """

    concept: float | None
    instruction: float | None
    fluency: float | None

    @property
    def overall(self) -> float | None:
        """Their harmonic mean: 0 where any is 0, None where any is missing."""
        return harmonic_mean([self.concept, self.instruction, self.fluency])


class Rater(Protocol):
    """Whoever rates answers."""

    @property
    def name(self) -> str:
        """What it is called beside its ratings."""

    def rate(self, concept: Concept, asked: Sequence[Sample]) -> list[Rating]:
        """Rate answers.

        Args:
            concept: What they were steered towards.
            asked: Instructions with their answers as output.
        """


BLANK = Rating(0.0, 0.0, 0.0)
"""Of an answer without a word: whatever silenced the model failed."""


@dataclass(frozen=True)
class EndpointRater:
    """A judge asked over HTTP, once for each of the three questions, in this project's own words.

    Attributes:
        judge: Who is asked.
    """

    judge: Judge

    @property
    def name(self) -> str:
        """The model behind the endpoint."""
        return f"endpoint {getattr(self.judge, 'model', 'judge')}"

    def rate(self, concept: Concept, asked: Sequence[Sample]) -> list[Rating]:
        """See `Rater.rate`.

        Args:
            concept: The concept.
            asked: Instructions with answers.
        """
        answers = [str(one.output) for one in asked]
        references = [Reference(one.text) for one in asked]
        rubrics = [parse_rubric(f"concept={concept.text}"), parse_rubric("instruction"), parse_rubric("fluency")]
        columns = [rate(self.judge, rubric, answers, references).values for rubric in rubrics]
        found = zip(*columns, strict=True)
        return [
            Rating(*(None if value is None else 2 * value for value in values)) if answer.strip() else BLANK
            for answer, values in zip(answers, found, strict=True)
        ]


@dataclass(frozen=True)
class AbsentRater:
    """Stands for the raters of workers in the process that leaves the work to them.

    Attributes:
        name: What they are called.
    """

    name: str

    def rate(self, concept: Concept, asked: Sequence[Sample]) -> list[Rating]:
        """Refuse to.

        Args:
            concept: The concept.
            asked: Instructions with answers.

        Raises:
            EvalError: Always.
        """
        raise EvalError(f"{len(asked)} answers about {concept.text!r} cannot be rated here: workers rate them")


@dataclass(frozen=True, eq=False)
class Reader:
    """A model under which the fluency of answers is measured, in the place of the steered one.

    Attributes:
        name: As it was loaded, such as `bundled:gemma3-270m`.
        adapter: The model.
    """

    name: str
    adapter: AnyAdapter

    def __post_init__(self) -> None:
        if self.adapter.output_kind != "text":
            raise EvalError(f"{self.name} makes {self.adapter.output_kind}; fluency is read by a language model")


def offline_name(embed: Embed | None, reader: Reader | None = None) -> str:
    """What an offline rater is called.

    Args:
        embed: Its sentence embeddings; None for TF-IDF.
        reader: Who reads for fluency; None for the unsteered model.
    """
    read = f", fluency under {_called(reader.name)}" if reader else ""
    return f"offline ({'TF-IDF' if embed is None else 'MiniLM'}{read})"


def _called(model: str) -> str:
    """A model's name without `bundled:`, or without where its folder lies on this machine."""
    return Path(model).resolve().name if os.path.isdir(model) else model.removeprefix(BUNDLED)


class OfflineRater:
    """Ratings without a judge: a classifier of answers, similarity to the instruction, and perplexity.

    *Concept*: logistic regression on embeddings, or else TF-IDF, of the half of the test examples that detection is not
    measured on, which no finder saw. 1 from where 5 % of negatives are exceeded, 2 from where also three quarters of
    positives lie, both by cross-validation. *Instruction*: cosine of answer and instruction. 1 from where three
    quarters of mismatched pairs of unsteered answers lie, 2 from where three quarters of matched ones do. *Fluency*:
    nats a token under the reader, or else the unsteered model, which is not given the instruction: an answer about
    something else may be fluent. 2 up to where nine tenths of unsteered answers lie, 1 up to one nat more; 0 for an
    answer that ends in a loop, which is likely and worthless.

    Args:
        adapter: The model, unsteered.
        plain: Instructions with unsteered answers, which the marks are set by.
        embed: Sentence embeddings; None for TF-IDF of the unsteered answers and their instructions.
        reader: Who reads for fluency; None for the unsteered model.
    """

    def __init__(
        self, adapter: AnyAdapter, plain: Sequence[Sample], embed: Embed | None = None, reader: Reader | None = None
    ) -> None:
        said = [one for one in plain if str(one.output).strip()]
        if len(said) < 2:
            raise EvalError(f"{len(said)} unsteered answers to set marks by; give 2 instructions or more")
        self.name = offline_name(embed, reader)
        self._reader = reader.adapter if reader else adapter
        self._embedded = embed
        self._embed = embed or _tfidf([text for one in said for text in (one.text, str(one.output))])
        own = self._similarity(said)
        other = self._similarity([_answered(one, said[at - 1]) for at, one in enumerate(said)])
        self._marks = (float(np.quantile(other, 0.75)), float(np.quantile(own, 0.25)))
        self._usual = float(np.quantile(self._nats(said), 0.9))
        self._concepts: dict[int, _Classifier] = {}

    def rate(self, concept: Concept, asked: Sequence[Sample]) -> list[Rating]:
        """See `Rater.rate`.

        Args:
            concept: The concept.
            asked: Instructions with answers.
        """
        said = [one for one in asked if str(one.output).strip()]
        if not said:
            return [BLANK] * len(asked)
        columns = (self._about(concept, said), self._follows(said), self._fluent(said))
        found = iter([Rating(*values) for values in zip(*columns, strict=True)])
        return [next(found) if str(one.output).strip() else BLANK for one in asked]

    def certainty(self, concept: Concept) -> float:
        """AUROC of the classifier of a concept, by cross-validation.

        Args:
            concept: The concept.
        """
        return self._classifier(concept).auroc

    def _classifier(self, concept: Concept) -> "_Classifier":
        if concept.id not in self._concepts:
            self._concepts[concept.id] = _Classifier(concept, self._embedded)
        return self._concepts[concept.id]

    def _about(self, concept: Concept, said: Sequence[Sample]) -> list[float]:
        return self._classifier(concept).rate([str(one.output) for one in said])

    def _follows(self, said: Sequence[Sample]) -> list[float]:
        low, high = self._marks
        return [float(one >= low) + float(one >= max(low, high)) for one in self._similarity(said)]

    def _fluent(self, said: Sequence[Sample]) -> list[float]:
        nats = self._nats(said)
        loops = [find_loop(str(one.output)) is not None for one in said]
        marks = (nats <= self._usual + NATS).astype(float) + (nats <= self._usual)
        return [0.0 if loop else float(mark) for loop, mark in zip(loops, marks, strict=True)]

    def _similarity(self, said: Sequence[Sample]) -> Floats:
        pairs = [np.asarray(self._embed([text(one) for one in said]), np.float64) for text in (_asked, _said)]
        asked, answers = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in pairs)
        return np.asarray((asked * answers).sum(axis=1))

    def _nats(self, said: Sequence[Sample]) -> Floats:
        alone = [replace(one, prompt=ANYTHING) for one in said]
        parts = [alone[at : at + BATCH] for at in range(0, len(alone), BATCH)]
        terms = np.concatenate([output_likelihood(self._reader, part).numpy() for part in parts])
        return np.asarray(-terms[:, 0] / np.maximum(terms[:, 1], 1))


class _Classifier:
    """Which answers are about a concept, by their embeddings or else by their words."""

    def __init__(self, concept: Concept, embed: Embed | None) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer

        half = concept.halves()[1]
        texts, y = [one.output for one in half], np.array([one.positive for one in half])
        fewest = int(min(y.sum(), (~y).sum()))
        if fewest < 2:
            raise EvalError(
                f"concept {concept.id}: the half of the test that a judge learns from has {int(y.sum())} positives and "
                f"{int((~y).sum())} negatives; give 4 test examples of each side or more, or judge by an endpoint"
            )
        read = FunctionTransformer(embed) if embed else TfidfVectorizer(sublinear_tf=True)
        self._model = make_pipeline(read, LogisticRegression(C=10.0, class_weight="balanced"))
        held = cross_val_predict(self._model, texts, y, cv=min(FOLDS, fewest), method="decision_function")
        low = float(np.quantile(held[~y], 0.95))
        self._marks = (low, max(low, float(np.quantile(held[y], 0.25))))
        self.auroc = auroc(held, y.tolist())
        self._model.fit(texts, y)

    def rate(self, texts: Sequence[str]) -> list[float]:
        low, high = self._marks
        return [float(one > low) + float(one > high) for one in self._model.decision_function(list(texts))]


def installed_embedder() -> Embed | None:
    """MiniLM where it is installed, else None."""
    try:
        return minilm()
    except EvalError:
        return None


def _tfidf(texts: Sequence[str]) -> Embed:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True).fit(texts)
    # A small constant: a text of unknown words alone is like nothing, and still has a length.
    return lambda some: np.hstack([words.transform(some).toarray(), np.full((len(some), 1), 1e-6)])


def _answered(one: Sample, other: Sample) -> Sample:
    return Sample(one.id, one.prompt, output=other.output)


def _asked(one: Sample) -> str:
    return one.text


def _said(one: Sample) -> str:
    return str(one.output)
