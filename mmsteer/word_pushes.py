"""How far each word of an output was pushed: what gates and schedules made of a strength, word by word."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmsteer.layouts import layouts, tokens_of
from mmsteer.steering import Steering, steer
from mmsteer.types import OUTPUT, Adapter, Sample


def word_pushes(
    adapter: Adapter, steering: Steering, samples: Sequence[Sample], *, steps: int | None = None
) -> list[list[float]]:
    """Read outputs again, steered, and measure how far the state that each word was chosen from is moved.

    Gates and edits that depend on the state read what they read in decoding, because the tokens are the same.

    Args:
        adapter: A model that writes text.
        steering: What is applied.
        samples: Prompts with their outputs.
        steps: How many output steps were allowed where they were made: schedules in percent are of them.

    Returns:
        For each sample, for each of the output's words (as white space divides it) the norm of the change over the
        norm of the state, mean over the steered sites of the language model and the largest of the word's tokens. No
        words where nothing is steered there, or the tokenizer does not tell where tokens lie.
    """
    reading = adapter.reading(samples).within(steps)
    with layouts(adapter, adapter.generator, reading) as found, steer(adapter, steering) as session:
        with session.call(reading.call):
            adapter.read(reading, logits="last")
        moved = session.moved()
    if not moved:
        return [[] for _ in samples]
    each = torch.stack(list(moved.values())).mean(dim=0)
    chosen = OUTPUT.mask(tokens_of(adapter, adapter.generator, found[-1])).to(each.device)
    # The state of an output's last token chose no word of it.
    rows = [ratios[mask][:-1] for ratios, mask in zip(each, chosen, strict=True)]
    return [
        _of_words(str(sample.output), ratios, adapter.words_of_tokens(str(sample.output)))
        for sample, ratios in zip(samples, rows, strict=True)
    ]


def _of_words(output: str, ratios: Tensor, words: Sequence[int]) -> list[float]:
    """The largest ratio of each word's tokens.

    `words`: for each token the index of its word. A tag that the prompt ends with is no token of the output there.
    """
    if not words:
        return []
    largest = [0.0] * len(output.split())
    for word, ratio in zip(words[len(words) - len(ratios) :], ratios.tolist(), strict=True):
        largest[word] = max(largest[word], ratio)
    return [round(one, 4) for one in largest]
