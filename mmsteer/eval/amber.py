"""AMBER: objects in free descriptions, and yes-or-no questions about existence, attributes and relations.

Everything is in percent, as the paper prints it. In the questions the positive class is "no".
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmsteer.errors import EvalError, clip
from mmsteer.eval.amber_words import Similarity, Vocabulary, is_words, same_word
from mmsteer.eval.answers import Id, by_id, read_answers, read_rows
from mmsteer.eval.bootstrap import ratio_interval
from mmsteer.eval.pope_parsers import parse_answer
from mmsteer.types.score import Score

GENERATIVE = "generative"
EXISTENCE = ("discriminative-hallucination",)
STATE, NUMBER, ACTION = (f"discriminative-attribute-{kind}" for kind in ("state", "number", "action"))
RELATION = ("discriminative-relation", "relation")
DIMENSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "all": (*EXISTENCE, STATE, NUMBER, ACTION, *RELATION),
        "existence": EXISTENCE,
        "attribute": (STATE, NUMBER, ACTION),
        "state": (STATE,),
        "number": (NUMBER,),
        "action": (ACTION,),
        "relation": RELATION,
    }
)
"""The types of item that make each dimension."""

# The reference starts every denominator at this, and adds these to that of F1.
COUNT_TERM = 1e-3
F1_TERM = MappingProxyType({"existence": 1e-3})
OTHER_F1_TERM = 1e-4


@dataclass(frozen=True)
class Item:
    """One annotated item.

    Attributes:
        id: Its number.
        image: Its image, where the queries say it; else its id.
        kind: AMBER's `type`.
        truth: The objects that are there, or `("yes",)` or `("no",)`.
        hallu: Objects that models tend to see there.
    """

    id: Id
    image: str
    kind: str
    truth: tuple[str, ...]
    hallu: tuple[str, ...] = ()


def read_items(annotations: str | Path, queries: str | Path | None = None) -> tuple[Item, ...]:
    """The items of AMBER's `annotations.json`.

    `queries`: `query_all.json`, which says the image of each item; without it each item is its own image.

    Raises:
        EvalError: A file is broken or of another benchmark.
    """
    rows = by_id(read_rows(annotations, ("id", "type", "truth"), "an AMBER annotation"), "id")
    images: dict[Id, str] = {}
    if queries is not None:
        asked = by_id(read_rows(queries, ("id", "image", "query"), "an AMBER query"), "id", rows.keys())
        images = {id_: row.text("image") for id_, row in asked.items()}
    items = []
    for id_, row in rows.items():
        kind = row.word("type", (GENERATIVE, *DIMENSIONS["all"]))
        truth, hallu = row.fields["truth"], row.fields.get("hallu", [])
        if kind != GENERATIVE:
            truth = [row.word("truth", ("yes", "no"))]
        elif not is_words(truth) or not is_words(hallu):
            raise EvalError(f"{row.where}: truth and hallu of a generative item are lists of objects")
        items.append(Item(id_, images.get(id_, str(id_)), kind, tuple(truth), tuple(hallu)))
    return tuple(items)


def read_responses(path: str | Path, items: Sequence[Item]) -> dict[Id, str | None]:
    """The responses of a file of `{"id", "response"}`, as AMBER's script takes it, or another layout with ids.

    Raises:
        EvalError: A record is broken, comes twice, or answers another item.
    """
    return read_answers(path, {item.id: None for item in items})


@dataclass(frozen=True)
class DiscriminativeScore:
    """One dimension of the yes-or-no questions, in percent, rounded as the reference prints it.

    Attributes:
        accuracy: Right answers of all.
        precision: Labelled no, of those answered no.
        recall: Answered no, of those labelled no.
        f1: Harmonic mean of the two, after they are rounded.
        interval: Interval of the accuracy over images, in percent, not rounded.
        n: Questions that count.
        unparsed: Questions whose answer says neither; in the mode `exact` they are wrong, and count.
        unscored: Questions without an answer.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    interval: tuple[float | None, float | None]
    n: int
    unparsed: int
    unscored: int


def score_questions(
    items: Sequence[Item], responses: Mapping[Id, str | None], parser: str = "exact"
) -> dict[str, DiscriminativeScore | None]:
    """AMBER's discriminative metrics for each of `DIMENSIONS`; None where nothing was answered.

    Args:
        items: The items; generative ones are left out.
        responses: What the model said, by the item's id.
        parser: `exact`: the answer must be `Yes` or `No` to the letter, as in the reference. `strict`: POPE's parser,
            and what it cannot tell does not count.

    Raises:
        EvalError: There is no such parser.

    Source: Wang et al. 2023, AMBER, arXiv:2311.07397; inference.py of junyangwang0410/AMBER.
    """
    if parser not in ("exact", "strict"):
        raise EvalError(f"no parser {clip(parser)}; choose from exact, strict")
    said = {item.id: _said(responses.get(item.id), parser) for item in items if item.kind != GENERATIVE}
    return {
        name: _dimension([item for item in items if item.kind in kinds], said, parser, F1_TERM.get(name, OTHER_F1_TERM))
        for name, kinds in DIMENSIONS.items()
    }


def _said(response: str | None, parser: str) -> str | None:
    """`yes`, `no`, `unparsed`, or None without a response."""
    if response is None:
        return None
    if parser == "exact":
        return {"Yes": "yes", "No": "no"}.get(response, "unparsed")
    return parse_answer(response, "strict") or "unparsed"


def _dimension(
    items: Sequence[Item], said: Mapping[Id, str | None], parser: str, f1_term: float
) -> DiscriminativeScore | None:
    unscored = sum(said[item.id] is None for item in items)
    unparsed = sum(said[item.id] == "unparsed" for item in items)
    out = (None,) if parser == "exact" else (None, "unparsed")
    counted = [item for item in items if said[item.id] not in out]
    if not counted:
        return None
    pairs = Counter((item.truth[0], said[item.id]) for item in counted)
    gold_no = sum(item.truth[0] == "no" for item in counted)
    said_no = pairs["no", "no"] + pairs["yes", "no"]
    right = pairs["no", "no"] + pairs["yes", "yes"]
    precision, recall = _percent(pairs["no", "no"], said_no), _percent(pairs["no", "no"], gold_no)
    p, r = precision / 100, recall / 100
    f1 = round(2 * p * r / (p + r + f1_term) * 100, 1)
    interval = _accuracy_interval(counted, said)
    return DiscriminativeScore(
        _percent(right, len(counted)), precision, recall, f1, interval, len(counted), unparsed, unscored
    )


def _percent(part: int, whole: int) -> float:
    return round(part / (whole + COUNT_TERM) * 100, 1)


def _accuracy_interval(items: Sequence[Item], said: Mapping[Id, str | None]) -> tuple[float | None, float | None]:
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for item in items:
        rows[item.image][0] += said[item.id] == item.truth[0]
        rows[item.image][1] += 1
    score = _share(*np.array(list(rows.values())).T)
    return score.low, score.high


@dataclass(frozen=True)
class GenerativeScore:
    """AMBER's metrics of free descriptions, in percent, with intervals over images.

    Attributes:
        chair: Hallucinated mentions of all mentions of the vocabulary.
        cover: Objects of the truth that are covered.
        hal: Responses with at least one hallucinated mention.
        cog: Annotated tempting objects that were named.
        length: Mean words of a response.
        empty: Responses without a word.
        unscored: Items without a response.
        rows: For each response its mentions that are hallucinated.
    """

    chair: Score
    cover: Score
    hal: Score
    cog: Score
    length: float | None
    empty: int
    unscored: int
    rows: Mapping[Id, tuple[str, ...]]


@dataclass(frozen=True)
class _Reading:
    mentions: int
    hallucinated: tuple[str, ...]
    covered: frozenset[int]
    tempted: frozenset[int]


def score_descriptions(
    items: Sequence[Item],
    responses: Mapping[Id, str | None],
    vocabulary: Vocabulary,
    *,
    similar: Similarity = same_word,
    compat: str = "fixed",
) -> GenerativeScore:
    """AMBER's generative metrics.

    The reference lets a mention cover one annotated object alone, the first whose associations have the word: "man"
    where the truth is person and man covers the person, and of two ships one is never covered; and a safe word covers
    nothing. `fixed` lets a mention cover all that it names.

    Args:
        items: The items; only generative ones count.
        responses: What the model said, by the item's id.
        vocabulary: Objects, associations and safe words.
        similar: Whether two words mean the same, beside the associations; the reference asks spaCy.
        compat: `fixed` or `official`.

    Raises:
        EvalError: There is no such mode, or an annotated object is not in the vocabulary.

    Source: as for `score_questions`.
    """
    if compat not in ("fixed", "official"):
        raise EvalError(f"no mode {clip(compat)}; choose from fixed, official")
    all_items = [item for item in items if item.kind == GENERATIVE]
    texts = {item.id: text for item in all_items if (text := responses.get(item.id)) is not None}
    counted = [item for item in all_items if item.id in texts]
    readings = [_read(item, texts[item.id], vocabulary, similar, compat) for item in counted]
    lengths = [len(text.split()) for text in texts.values()]
    missing = len(all_items) - len(counted)
    return GenerativeScore(
        chair=_share([len(one.hallucinated) for one in readings], [one.mentions for one in readings], missing),
        cover=_share([len(one.covered) for one in readings], [len(item.truth) for item in counted], missing),
        hal=_share([bool(one.hallucinated) for one in readings], [1] * len(readings), missing),
        cog=_share([len(one.tempted) for one in readings], [len(item.hallu) for item in counted], missing),
        length=float(np.mean(lengths)) if lengths else None,
        empty=lengths.count(0),
        unscored=missing,
        rows={item.id: one.hallucinated for item, one in zip(counted, readings, strict=True)},
    )


def _read(item: Item, text: str, vocabulary: Vocabulary, similar: Similarity, compat: str) -> _Reading:
    first = compat == "official"
    truth, hallu = _words(item.truth, vocabulary), _words(item.hallu, vocabulary)
    nouns, hallucinated = vocabulary.nouns(text), []
    covered: set[int] = set()
    tempted: set[int] = set()
    for noun in nouns:
        safe = noun in vocabulary.safe
        named = set() if safe and first else _matches(noun, truth, same_word, first)
        covered |= named
        if named or safe:
            continue
        tempted |= _matches(noun, hallu, same_word, first) | _matches(noun, hallu, similar, first)
        alike = _matches(noun, truth, similar, first)
        covered |= alike
        if not alike:
            hallucinated.append(noun)
    return _Reading(len(nouns), tuple(hallucinated), frozenset(covered), frozenset(tempted))


def _words(objects: Sequence[str], vocabulary: Vocabulary) -> list[tuple[str, int]]:
    """Words that stand for each object, with its index; associations first, as the reference looks them up."""
    others = [(word, place) for place, name in enumerate(objects) for word in vocabulary.others(name)]
    return others + [(name, place) for place, name in enumerate(objects)]


def _matches(noun: str, words: Sequence[tuple[str, int]], similar: Similarity, first: bool) -> set[int]:
    found = (place for word, place in words if similar(noun, word))
    if first:
        place = next(found, None)
        return set() if place is None else {place}
    return set(found)


def _share(parts: ArrayLike, wholes: ArrayLike, unscored: int = 0) -> Score:
    score = ratio_interval(parts, wholes, unscored=unscored)
    value, low, high = (None if end is None else 100 * end for end in (score.value, score.low, score.high))
    return Score(value, low, high, score.n, score.unscored)


def amber_score(generative: GenerativeScore, discriminative: Mapping[str, DiscriminativeScore | None]) -> float | None:
    """The mean of 100 - CHAIR and F1 over all questions; None where one of them is missing."""
    questions = discriminative["all"]
    if generative.chair.value is None or questions is None:
        return None
    return (100 - generative.chair.value + questions.f1) / 2


def amber_json(generative: GenerativeScore, discriminative: Mapping[str, DiscriminativeScore | None]) -> dict[str, Any]:
    """All that AMBER reports, as plain values."""
    named = {name: getattr(generative, name) for name in ("chair", "cover", "hal", "cog")}
    return {
        "amber_score": amber_score(generative, discriminative),
        "generative": {name: score.value for name, score in named.items()}
        | {"n": generative.hal.n, "unscored": generative.unscored}
        | {"length": generative.length, "empty": generative.empty}
        | {"intervals": {name: [score.low, score.high] for name, score in named.items()}},
        "discriminative": {
            name: None if score is None else dict(vars(score)) for name, score in discriminative.items()
        },
    }
