"""Sampling in which every sample has a seed of its own, so that a batch does not change what is drawn."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from mmsteer.errors import AdapterError
from mmsteer.types import Sample, Sampling


def checked_sampling(sampling: Sampling, usual: Sampling, length: str) -> Sampling:
    """A sampling with the usual values where it gives none.

    Args:
        sampling: What is asked for.
        usual: How the model is usually sampled.
        length: The field that gives the length of its outputs, `tokens` or `seconds`.

    Raises:
        AdapterError: The length is missing or in another unit, or the numbers make no sense.
    """
    full, other = sampling.filled(usual), "tokens" if length == "seconds" else "seconds"
    if getattr(full, length) is None or getattr(full, other) is not None:
        raise AdapterError(f"the length of this model's outputs is given in {length}, such as Sampling({length}=4)")
    assert full.temperature is not None
    assert full.top_p is not None
    assert full.top_k is not None
    if full.temperature < 0 or not 0 < full.top_p <= 1 or full.top_k < 0:
        raise AdapterError(
            f"temperature {full.temperature:g}, top_k {full.top_k} and top_p {full.top_p:g}; a temperature and "
            "top_k are 0 or more, and top_p is above 0 and at most 1"
        )
    return full


def check_seeds(samples: Sequence[Sample], seeds: Sequence[int] | None, sampling: Sampling) -> None:
    """Refuse samples that have no seed each where one is drawn with, and samples that have an output already.

    `seeds`: one a sample; None where nothing is drawn.
    `sampling`: with its usual values.

    Raises:
        AdapterError: There are none, the counts differ, or a sample has its output.
    """
    if not samples:
        raise AdapterError("no prompt was given; give one or more")
    if sampling.temperature and len(seeds or ()) != len(samples):
        raise AdapterError(
            f"{len(samples)} prompts and {len(seeds or ())} seeds; sampling at temperature {sampling.temperature:g} "
            "needs a seed each"
        )
    made = [sample.id for sample in samples if sample.output is not None]
    if made:
        raise AdapterError(f"{made[0]}: the sample has its output already; generate from samples without one")


class SeededSampling(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Turns greedy search into sampling: the largest of logit plus Gumbel noise is an exact draw.

    The noise of a token depends on the sample's seed and the length of the sequence alone, so a steered and an
    unsteered run with the same seeds differ by the steering alone, in whatever batches they ran.

    Source: the Gumbel-max trick, Maddison et al. 2014, arXiv:1411.0030.
    """

    def __init__(
        self, seeds: Sequence[int], codebooks: int, temperature: float, top_k: int = 0, top_p: float = 1.0
    ) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._codebooks = codebooks
        self._temperature = temperature
        self._top_k = top_k
        self._top_p = top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Add the noise of this step to the logits that remain.

        `input_ids`: tokens so far, (samples * codebooks, length).
        `scores`: logits, (samples * codebooks, vocabulary).
        """
        scores = scores.float() / self._temperature
        if self._top_k and self._top_k < scores.shape[-1]:
            smallest = scores.topk(self._top_k, dim=-1, sorted=False).values.amin(dim=-1, keepdim=True)
            scores.masked_fill_(scores < smallest, -torch.inf)
        if self._top_p < 1:
            scores = _nucleus(scores, self._top_p)
        return scores + self._gumbel(scores.shape[-1]).to(scores.device, non_blocking=True)

    def _gumbel(self, vocabulary: int) -> Tensor:
        draws = [torch.rand(self._codebooks, vocabulary, generator=one) for one in self._generators]
        # -log of a uniform draw is an exponential one; zero has no logarithm.
        exponential = -torch.cat(draws).clamp_(min=torch.finfo(torch.float32).tiny).log()
        return -exponential.clamp_(min=torch.finfo(torch.float32).tiny).log()


def _nucleus(scores: Tensor, share: float) -> Tensor:
    """Logits of the likeliest tokens that together have a share of the probability; the likeliest one always stays.

    Source: Holtzman et al. 2020, arXiv:1904.09751.
    """
    ordered, places = scores.sort(dim=-1, descending=True)
    before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
    kept = ordered.masked_fill(before >= share, -torch.inf)
    return torch.empty_like(scores).scatter_(-1, places, kept)


def drawing(sampling: Sampling, seeds: Sequence[int] | None, codebooks: int) -> list[SeededSampling]:
    """What draws tokens instead of taking the likeliest; nothing at temperature 0.

    `sampling`: with its usual values.
    `codebooks`: token streams a sample.
    """
    if not sampling.temperature or not seeds:
        return []
    return [SeededSampling(seeds, codebooks, sampling.temperature, sampling.top_k or 0, sampling.top_p or 1.0)]


class AfterGuidance(LogitsProcessorList):  # type: ignore[misc]
    """A list whose own processors come last.

    MusicGen appends its guidance, which halves the rows, to the list that it is given; sampling must come after it.
    """

    def append(self, processor: Any) -> None:
        """Put a processor before those that the list was made with."""
        self.insert(0, processor)
