"""Whether an answer contains a text, or is one."""

import re
import string
from collections.abc import Sequence

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def contains(answer: str, parts: Sequence[str]) -> bool:
    """Whether any of several texts stands in an answer, in any case, also within a word.

    >>> contains("Arrr, matey!", ["arr", "ahoy"])
    True
    """
    folded = answer.casefold()
    return any(part.casefold() in folded for part in parts)


def normalise_answer(text: str) -> str:
    """A short answer as SQuAD's script compares it.

    Lower case, without ASCII punctuation, without the articles a, an and the, single spaces.

    Source: Rajpurkar et al. 2016, SQuAD, arXiv:1606.05250, section 6.1.

    >>> normalise_answer(" The  U.S. Army!")
    'us army'
    """
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def is_exact(answer: str, truth: str) -> bool:
    """Whether an answer is the right one after `normalise_answer`.

    Where that leaves nothing of both, such as for "the" and "A", they are compared as they are.
    """
    left, right = normalise_answer(answer), normalise_answer(truth)
    return left == right if left or right else answer.strip() == truth.strip()
