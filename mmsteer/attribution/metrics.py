"""What is attributed: one number of a forward."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor

from mmsteer.errors import AttributionError
from mmsteer.likelihood import OutputTokens
from mmsteer.types import Adapter, Sample

Metric = Callable[[OutputTokens], Tensor]
"""From what a forward says of the outputs that it was given to one number a row, (rows,)."""


def log_probability(tokens: OutputTokens) -> Tensor:
    """Log-probability of the output, in nats.

    Args:
        tokens: Of the output.
    """
    return tokens.sums


@dataclass(frozen=True)
class OfWords:
    """Log-probability of some words of the output, given all before them, in nats.

    `start`: the first token of the words, counted from the first of the output.
    `stop`: the token behind them.
    """

    start: int
    stop: int

    def __call__(self, tokens: OutputTokens) -> Tensor:
        """See `Metric`.

        `tokens`: of the output.
        """
        place = tokens.counts.cumsum(1) - 1
        return (tokens.log_probs * (tokens.counts & (place >= self.start) & (place < self.stop))).sum((1, 2))


def of_words(adapter: Adapter, sample: Sample, words: str) -> OfWords:
    """The metric of words in an output, at their first occurrence.

    Args:
        adapter: A model that writes text.
        sample: A prompt with its output.
        words: Such as `dog`.

    Raises:
        AttributionError: The output does not have them.
    """
    found = find_words(adapter, sample, words)
    if found is None:
        raise AttributionError(f"the output has no {words!r}: {str(sample.output)[:80]!r}")
    return found


def find_words(adapter: Adapter, sample: Sample, words: str, before: str = "") -> OfWords | None:
    """The metric of words in an output, at their first occurrence behind a part of it; None where there is none.

    Args:
        adapter: A model that writes text.
        sample: A prompt with its output.
        words: Such as `dog`.
        before: What the output begins with, and the words are behind.
    """
    reading = adapter.reading([sample])
    ids = adapter.tokens(reading)[0, reading.call.prompt :, 0].tolist()
    # Without spaces: tokens that are whole words are named without them.
    pieces, wanted = [_squeezed(adapter.token_name(one)) for one in ids], _squeezed(words)
    start = "".join(pieces).find(wanted, len(_squeezed(before)))
    if start < 0 or not wanted:
        return None
    ends = list(accumulate(map(len, pieces)))
    first = next(at for at, end in enumerate(ends) if end > start)
    last = next(at for at, end in enumerate(ends) if end >= start + len(wanted))
    return OfWords(first, last + 1)


def _squeezed(text: str) -> str:
    return "".join(text.lower().split())
