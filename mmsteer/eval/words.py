"""What every judged text is measured by beside its score: its length, whether it is empty, whether it repeats itself.

Steering that ends an answer early, or makes it go round in circles, lowers most hallucination scores; these tell.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mmsteer.types.score import Score, mean_score

REPEAT = 4  # words a run


@dataclass(frozen=True)
class WordScores:
    """Means over texts.

    `empty`: share of texts without a word.
    `repetition`: share of runs of four words that the same text has said before.
    """

    length: Score
    empty: Score
    repetition: Score


def count_words(text: str) -> int:
    """How many words a text has, as white space separates them.

    >>> count_words("A man's dog, on a bench.")
    6
    """
    return len(text.split())


def repetition(text: str) -> float | None:
    """The share of runs of four words that came before in the text; None where it has fewer than four words.

    Source: Welleck et al. 2020, Neural text generation with unlikelihood training (seq-rep-4).

    >>> repetition("a dog on a dog on a dog")
    0.4
    """
    words = text.lower().split()
    runs = [tuple(words[at : at + REPEAT]) for at in range(len(words) - REPEAT + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else None


def word_scores(texts: Iterable[str], *, seed: int = 0) -> WordScores:
    """Length, empty rate and repetition over many texts, with bootstrap intervals."""
    texts = list(texts)
    lengths = [count_words(text) for text in texts]
    return WordScores(
        length=mean_score([float(length) for length in lengths], seed=seed),
        empty=mean_score([float(length == 0) for length in lengths], seed=seed),
        repetition=mean_score([repetition(text) for text in texts], seed=seed),
    )
