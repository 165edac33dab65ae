"""Which tokens: one language for reading and for steering."""

import re
from dataclasses import dataclass
from enum import IntFlag
from functools import lru_cache

import torch
from torch import Tensor

from mmsteer.errors import PositionsError, clip


class Kind(IntFlag):
    """What a token is. A token can be several things at once; a padding token is nothing."""

    PADDING = 0
    PROMPT = 1
    GENERATED = 2
    FIRST = 4
    LAST = 8
    TEXT = 16
    IMAGE = 32
    THINKING = 64
    ANSWER = 128


NAMES = {
    "prompt": Kind.PROMPT,
    "generated": Kind.GENERATED,
    "first": Kind.FIRST,
    "last": Kind.LAST,
    "text": Kind.TEXT,
    "image": Kind.IMAGE,
    "thinking": Kind.THINKING,
    "answer": Kind.ANSWER,
}
MOST_TERMS = 200
LONGEST = 50_000  # characters
_NUMBER = r"(\d++(?:\.\d++)*+|\.\d++)"
_TOKEN = re.compile(rf"\s*(?:([a-z]+)|{_NUMBER}\s*\.\.\s*{_NUMBER}\s*(s|steps)(?![a-z])|([&|()-]))")


@dataclass(frozen=True)
class Tokens:
    """The tokens of one forward pass.

    Attributes:
        kinds: `Kind` flags, (rows, tokens) int.
        steps: Index of the output step that each token predicts, (tokens,) int; prompt tokens
            before the last have negative steps.
        rate: Steps per second, or None where the output has no duration.
    """

    kinds: Tensor
    steps: Tensor
    rate: float | None = None


@dataclass(frozen=True)
class Positions:
    """A selection of tokens, such as `image`, `generated & 2..4s` or `all - first`.

    Terms: `all` (everything but padding), `prompt`, `generated`, `first`, `last` (of the prompt), `text`,
    `image`, `thinking` and `answer` (generated tokens up to the one that closes the thoughts, and behind it), and
    windows of the output in seconds (`0..2.5s`) or steps (`0..16steps`), closed at the start and open at the end. `&`
    binds tighter than `|` and `-`, which read from left to right.

    >>> str(Positions("all-first"))
    'all-first'
    """

    text: str

    def __post_init__(self) -> None:
        _parse(self.text)

    def mask(self, tokens: Tokens) -> Tensor:
        """Which tokens are selected, (rows, tokens) bool.

        Args:
            tokens: The tokens to choose from.

        Raises:
            PositionsError: A window in seconds meets a model whose output has no duration.
        """
        return _evaluate(_parse(self.text), tokens) & (tokens.kinds != Kind.PADDING)

    def names(self, term: str) -> bool:
        """Whether a term, such as `first`, is written in these positions.

        Args:
            term: The term.
        """
        return term in _terms(self.text)

    def without(self, text: str) -> "Positions":
        """These positions less others.

        Args:
            text: What to leave out, such as `first`.
        """
        return Positions(f"({self.text}) - ({text})")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class _Window:
    start: float
    stop: float
    unit: str


_Node = str | _Window | tuple[str, "_Node", "_Node"]


def _lex(text: str) -> list[str | _Window]:
    items: list[str | _Window] = []
    at = 0
    if len(text) > LONGEST:
        raise PositionsError(f"positions of {len(text)} characters; at most {LONGEST} are read. {_HELP}")
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if not match:
            raise PositionsError(f"cannot read positions {clip(text)} from {clip(text[at:])} on; {_HELP}")
        name, start, stop, unit, symbol = match.groups()
        if start is not None:
            items.append(_window(text, start, stop, unit))
        else:
            items.append(name or symbol)
        at = match.end()
    return items


@lru_cache(maxsize=256)
def _terms(text: str) -> frozenset[str | _Window]:
    return frozenset(_lex(text))


def _window(text: str, start: str, stop: str, unit: str) -> _Window:
    try:
        window = _Window(float(start), float(stop), unit)
    except ValueError:
        raise PositionsError(f"positions {text!r}: {start}..{stop} are not two numbers") from None
    if window.stop <= window.start:
        raise PositionsError(f"positions {text!r}: the window {start}..{stop}{unit} is empty")
    return window


@lru_cache(maxsize=256)
def _parse(text: str) -> _Node:
    items = _lex(text)
    if len(items) > MOST_TERMS:
        raise PositionsError(
            f"positions with {len(items)} terms and brackets are nested too deep; {MOST_TERMS} will do"
        )
    node = _union(items, text)
    if items:
        raise PositionsError(f"positions {text!r}: nothing is expected at {items[0]!r}; {_HELP}")
    return node


def _union(items: list[str | _Window], text: str) -> _Node:
    node = _intersection(items, text)
    while items and items[0] in ("|", "-"):
        operator = items.pop(0)
        node = (str(operator), node, _intersection(items, text))
    return node


def _intersection(items: list[str | _Window], text: str) -> _Node:
    node = _term(items, text)
    while items and items[0] == "&":
        items.pop(0)
        node = ("&", node, _term(items, text))
    return node


def _term(items: list[str | _Window], text: str) -> _Node:
    if not items:
        raise PositionsError(f"positions {text!r} end too early; {_HELP}")
    item = items.pop(0)
    if item == "(":
        node = _union(items, text)
        if not items or items.pop(0) != ")":
            raise PositionsError(f"positions {text!r}: a bracket is not closed")
        return node
    if isinstance(item, str) and item != "all" and item not in NAMES:
        raise PositionsError(f"positions {text!r}: no term {item!r}; {_HELP}")
    return item


def _evaluate(node: _Node, tokens: Tokens) -> Tensor:
    if isinstance(node, tuple):
        operator, left, right = node
        one, two = _evaluate(left, tokens), _evaluate(right, tokens)
        return {"&": one & two, "|": one | two, "-": one & ~two}[operator]
    if isinstance(node, _Window):
        return _inside(node, tokens)
    if node == "all":
        return torch.ones_like(tokens.kinds, dtype=torch.bool)
    return (tokens.kinds & int(NAMES[node])) != 0


def _inside(window: _Window, tokens: Tokens) -> Tensor:
    if window.unit == "s" and tokens.rate is None:
        raise PositionsError(
            f"the window {window.start:g}..{window.stop:g}s is in seconds, but this model's output has no "
            "duration; write it in steps, such as 0..16steps"
        )
    scale = 1.0 if window.unit == "steps" else float(tokens.rate or 1.0)
    # Rounded to a millionth of a step: 0.3 s * 50 is 15.000000000000002 otherwise.
    start, stop = round(window.start * scale, 6), round(window.stop * scale, 6)
    inside = (tokens.steps >= start) & (tokens.steps < stop)
    return inside.expand_as(tokens.kinds)


_HELP = "choose from all, " + ", ".join(NAMES) + ", windows such as 0..2s or 0..16steps, combined by & | - and brackets"


OUTPUT = Positions("last | generated")
"""The tokens whose states predict output: what a prompt's earlier tokens and its image predict is never asked for."""
