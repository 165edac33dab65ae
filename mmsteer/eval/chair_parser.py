"""Which objects a caption mentions, and where."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from types import MappingProxyType

from mmsteer.errors import EvalError, clip
from mmsteer.eval.chair_synonyms import (
    ANIMALS,
    COMPOUNDS,
    LAST_WORDS,
    NO_OBJECTS,
    REFERENCE_PAIRS,
    VEHICLES,
    Synonyms,
    coco_synonyms,
)
from mmsteer.eval.singular import noun_forms, pattern_singular, wordnet_singular

LONGEST = 4  # tokens a name: "stove top oven", and "bird's eye" of which the clitic makes four

# A word keeps its inner apostrophe ("o'clock" is no clock) unless a clitic follows ("the man's").
_CLITIC = r"(?!(?:s|m|d|t|re|ve|ll)\b)"
_WORDS = re.compile(rf"\w+(?:-\w+|['’]{_CLITIC}\w+)*|[^\w\s]")
# NLTK's tokenizer leaves "sofa/couch" and "ocean.the" whole too, and knows the straight apostrophe alone.
_REFERENCE_WORDS = re.compile(rf"\w+(?:[-./’]\w+|'{_CLITIC}\w+)*|[^\w\s]")


@dataclass(frozen=True)
class Mention:
    """One object that a caption names.

    `start`: where its words begin in the caption, in characters.
    """

    object: str
    start: int
    stop: int


@dataclass(frozen=True)
class _Token:
    word: str
    start: int
    stop: int


Parse = Callable[[str], tuple[Mention, ...]]
"""Takes a caption to its mentions, in order, repeats kept."""


def object_parser(compat: str = "fixed", synonyms: Synonyms | None = None) -> Parse:
    """The reader of captions for one mode.

    `compat`: `fixed`, or `pattern` or `wordnet` to read as the reference code does with that singulariser.
    `synonyms`: the words of each class; COCO's published list if left out.

    Raises:
        EvalError: There is no such mode.

    >>> [mention.object for mention in object_parser()("Two buses, a bus and a teddy-bear on a wine glass.")]
    ['bus', 'bus', 'teddy bear', 'wine glass']
    """
    if compat not in PARSERS:
        raise EvalError(f"no CHAIR mode {clip(compat)}; choose from {', '.join(PARSERS)}")
    return PARSERS[compat](coco_synonyms() if synonyms is None else synonyms)


def _fixed(synonyms: Synonyms) -> Parse:
    names = _names(synonyms)

    def parse(caption: str) -> tuple[Mention, ...]:
        found = [mention for mention in _longest_names(_tokens(_WORDS, caption), names) if mention.object]
        toilet = any(mention.object == "toilet" for mention in found)
        return tuple(mention for mention in found if not (toilet and _is_seat(caption, mention)))

    return parse


def _names(synonyms: Synonyms) -> dict[tuple[str, ...], str]:
    """Every written form of every name, as its words; an empty class for names that are no object's."""
    forms = {
        name: [form for word in (name, *words) for form in noun_forms(word.strip().lower())]
        for name, words in synonyms.items()
    }
    names = {form: "" for pair in (*COMPOUNDS, *NO_OBJECTS, "baby animal", "adult animal") for form in noun_forms(pair)}
    names |= {f"{age} cub{s}": "" for age in ("baby", "adult") for s in ("", "s")}
    names |= {form: "toilet" for form in noun_forms("toilet seat") if "toilet" in synonyms}
    for name, words in forms.items():
        before = {"baby ", "adult "} if name in ANIMALS else {"passenger "} if name in VEHICLES else set()
        names |= {start + form: name for form in words for start in ("", *before)}
    for compound in LAST_WORDS:
        first, last = compound.split()
        names = {f"{first} {form}": names.get(form, "") for form in noun_forms(last)} | names
    if "hot dog" in synonyms:
        names |= {form: "hot dog" for form in noun_forms("hotdog")}
    return {_words(form): name for form, name in names.items()}


def _words(name: str) -> tuple[str, ...]:
    """The parts of a name as `_longest_names` looks them up."""
    return tuple(chain.from_iterable(token.word.split("-") for token in _tokens(_WORDS, name)))


def _longest_names(tokens: list[_Token], names: Mapping[tuple[str, ...], str]) -> Iterator[Mention]:
    at = 0
    while at < len(tokens):
        for size in range(min(LONGEST, len(tokens) - at), 0, -1):
            run = tokens[at : at + size]
            # "teddy-bear" is looked up as two words, and "man-made" is none.
            name = names.get(tuple(chain.from_iterable(token.word.split("-") for token in run)))
            if name is not None:
                yield Mention(name, run[0].start, run[-1].stop)
                break
        at += size


def _is_seat(caption: str, mention: Mention) -> bool:
    """Whether it is a bare seat, which beside a toilet is no chair."""
    return caption[mention.start : mention.stop].lower() in {"seat", "seats"}


def _pattern(synonyms: Synonyms) -> Parse:
    return _reference(synonyms, pattern_singular)


def _wordnet(synonyms: Synonyms) -> Parse:
    listed = (word for name, words in synonyms.items() for word in (name, *words))
    return _reference(synonyms, wordnet_singular({part for word in (*listed, *COMPOUNDS) for part in word.split()}))


def _reference(synonyms: Synonyms, singular: Callable[[str], str]) -> Parse:
    classes = {word: name for name, words in synonyms.items() for word in (name, *words)}
    singular = cache(singular)

    def parse(caption: str) -> tuple[Mention, ...]:
        tokens = [_Token(singular(token.word), token.start, token.stop) for token in _tokens(_REFERENCE_WORDS, caption)]
        merged = list(_merge_pairs(tokens))
        words = {token.word for token in merged} & classes.keys()
        if {"toilet", "seat"} <= words:
            words -= {"seat"}
        return tuple(Mention(classes[token.word], token.start, token.stop) for token in merged if token.word in words)

    return parse


def _merge_pairs(tokens: list[_Token]) -> Iterator[_Token]:
    at = 0
    while at < len(tokens):
        pair = tokens[at : at + 2]
        merged = REFERENCE_PAIRS.get(" ".join(token.word for token in pair)) if len(pair) == 2 else None
        yield tokens[at] if merged is None else _Token(merged, pair[0].start, pair[1].stop)
        at += 1 if merged is None else 2


def _tokens(pattern: re.Pattern[str], caption: str) -> list[_Token]:
    # Lower case word by word: of a whole caption it may change the length, and with it every span.
    return [_Token(match[0].lower(), match.start(), match.end()) for match in pattern.finditer(caption)]


def mentioned(parse: Parse, captions: Iterable[str]) -> set[str]:
    """The classes that any of some captions names."""
    return {mention.object for caption in captions for mention in parse(caption)}


PARSERS: Mapping[str, Callable[[Synonyms], Parse]] = MappingProxyType(
    {"fixed": _fixed, "pattern": _pattern, "wordnet": _wordnet}
)
"""Makers of readers, by the name of the mode."""
