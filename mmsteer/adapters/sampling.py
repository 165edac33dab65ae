"""Sampling in which every sample has a seed of its own, so that a batch does not change what is drawn."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList


class SeededSampling(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Turns greedy search into sampling: the largest of logit plus Gumbel noise is an exact draw.

    The noise of a token depends on the sample's seed and the length of the sequence alone, so a steered and an
    unsteered run with the same seeds differ by the steering alone, in whatever batches they ran.

    Source: the Gumbel-max trick, Maddison et al. 2014, arXiv:1411.0030.
    """

    def __init__(self, seeds: Sequence[int], codebooks: int, temperature: float, top_k: int) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._codebooks = codebooks
        self._temperature = temperature
        self._top_k = top_k

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Add the noise of this step to the logits that remain.

        Args:
            input_ids: Tokens so far, (samples * codebooks, length).
            scores: Logits, (samples * codebooks, vocabulary).
        """
        scores = scores.float() / self._temperature
        if self._top_k and self._top_k < scores.shape[-1]:
            smallest = scores.topk(self._top_k, dim=-1, sorted=False).values.amin(dim=-1, keepdim=True)
            scores.masked_fill_(scores < smallest, -torch.inf)
        return scores + self._gumbel(scores.shape[-1]).to(scores.device, non_blocking=True)

    def _gumbel(self, vocabulary: int) -> Tensor:
        draws = [torch.rand(self._codebooks, vocabulary, generator=one) for one in self._generators]
        # -log of a uniform draw is an exponential one; zero has no logarithm.
        exponential = -torch.cat(draws).clamp_(min=torch.finfo(torch.float32).tiny).log()
        return -exponential.clamp_(min=torch.finfo(torch.float32).tiny).log()


class AfterGuidance(LogitsProcessorList):  # type: ignore[misc]
    """A list whose own processors come last.

    MusicGen appends its guidance, which halves the rows, to the list that it is given; sampling must come after it.
    """

    def append(self, processor: Any) -> None:
        """Put a processor before those that the list was made with.

        Args:
            processor: The processor.
        """
        self.insert(0, processor)
