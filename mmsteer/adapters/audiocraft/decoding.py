"""How mmsteer samples audiocraft's tokens: each sample by a seed of its own, as in transformers' models."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessorList

SLACK = 1e-6
"""Seconds, far below a frame and far above the rounding of their number."""


class NextToken:
    """Stands in for `_sample_next_token` of the language model, whose draws depend on the batch."""

    def __init__(self, lm: Any, processors: LogitsProcessorList, guidance: float, cached: Callable[[], int]) -> None:
        """Take the largest of guided logits, as processors change them.

        `lm`: the language model.
        `guidance`: scale of classifier-free guidance.
        `cached`: how many tokens the model has run.
        """
        self._lm = lm
        self._processors = processors
        self._guidance = guidance
        self._cached = cached
        self._tokens = torch.empty(0)

    def __call__(self, sequence: Tensor, cfg_conditions: Any, *_: Any, **__: Any) -> Tensor:
        """The next token of each stream, (samples, streams, 1).

        `sequence`: tokens that the model has not run yet, (samples, streams, tokens).
        `cfg_conditions`: conditions of both branches.
        """
        self._tokens = torch.cat([self._tokens, sequence], dim=-1) if self._cached() else sequence
        both = sequence.repeat(2, 1, 1)
        logits = self._lm(both, conditions=[], condition_tensors=cfg_conditions)[:, :, -1].float()
        conditional, null = logits.split(len(sequence))
        scores = (null + (conditional - null) * self._guidance).flatten(0, 1)
        drawn = self._processors(self._tokens.flatten(0, 1), scores).argmax(dim=-1)
        return drawn.view(*sequence.shape[:2], 1)


@contextmanager
def settings(musicgen: Any, **values: Any) -> Iterator[None]:
    """Attributes of MusicGen that hold inside the block alone: the user's own settings stay as they are."""
    before = {name: getattr(musicgen, name) for name in values}
    vars(musicgen).update(values)
    try:
        yield
    finally:
        vars(musicgen).update(before)


def duration_of(frames: int, rate: float, longest: float) -> float:
    """A duration that audiocraft, which rounds down, takes for so many frames.

    `rate`: frames per second.
    `longest`: the model's window in seconds; an output that fills it is not beyond it.
    """
    duration = frames / rate + SLACK
    return min(duration, longest) if frames <= int(longest * rate) else duration
