"""Where in the model's own captions the next word depends on the image most, and least.

A direction from these pairs reads visual sensitivity in the state itself, so a gate on it costs no second forward.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmsteer.data.contrasts import Contrast, paired
from mmsteer.errors import DataError
from mmsteer.recipes.vision.own_captions import described
from mmsteer.recipes.vision.schema import SensitivityPairs
from mmsteer.types import Sample

if TYPE_CHECKING:
    from mmsteer.adapters import LanguageModelAdapter

_GAP = re.compile(r"\s+")


def sensitivity(adapter: "LanguageModelAdapter", data: SensitivityPairs) -> Contrast:
    """For each greedy caption the beginning whose next word the image changes most (1), and least (0).

    Args:
        adapter: Who describes.
        data: The images and the prompt.

    Raises:
        DataError: No caption has two places between words.
    """
    pairs = []
    for one in described(adapter, data.images, data.prompt, data.tokens):
        begun = beginnings(one)
        if len(begun) > 1:
            nats = image_nats(adapter, one, begun)
            most, least = begun[int(nats.argmax())], begun[int(nats.argmin())]
            pairs.append((one.id, replace(most, id=f"{one.id}/most"), replace(least, id=f"{one.id}/least")))
    if not pairs:
        raise DataError("no caption has three words, so there are no two places to compare; allow more tokens")
    return paired("sensitivity", pairs)


def beginnings(captioned: Sample) -> list[Sample]:
    """The caption up to each gap between its words.

    Args:
        captioned: An image with its caption.
    """
    caption = str(captioned.output)
    return [replace(captioned, output=caption[: gap.start()]) for gap in _GAP.finditer(caption)]


def image_nats(adapter: "LanguageModelAdapter", captioned: Sample, begun: Sequence[Sample]) -> Tensor:
    """Divergence of the next token without the image from the next token with it, behind each beginning, in nats.

    Args:
        adapter: The model.
        captioned: An image with its caption.
        begun: Beginnings of that caption.
    """
    blind = replace(captioned, images=())
    # Counted from the end, where both readings hold the same tokens.
    left = [_size(adapter, blind) - _size(adapter, replace(blind, output=one.output)) for one in begun]
    seen, guessed = (_next_words(adapter, one)[[-1 - many for many in left]] for one in (captioned, blind))
    return (seen.exp() * (seen - guessed)).sum(-1)


def _next_words(adapter: "LanguageModelAdapter", sample: Sample) -> Tensor:
    """Log-probabilities behind each token, (tokens, vocabulary)."""
    with torch.no_grad():
        return adapter.read(adapter.reading([sample]))[0, :, 0].float().log_softmax(-1)


def _size(adapter: "LanguageModelAdapter", sample: Sample) -> int:
    return adapter.tokens(adapter.reading([sample])).shape[1]
