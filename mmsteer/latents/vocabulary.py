"""What a dictionary's features promote in the output: the logit lens of their decoder rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.sae import SparseDictionary
from mmsteer.types import Adapter

CHUNK = 256
"""Features a forward of the heads."""


@dataclass(frozen=True)
class Entry:
    """One token of a ranking.

    `value`: its logit, or how far its logit moved.
    """

    token: int
    name: str
    value: float


@dataclass(frozen=True)
class Ranking:
    """The ends of one head's vocabulary.

    `top`: tokens with the largest values, the largest first.
    `bottom`: tokens with the smallest values, the smallest first.
    """

    top: tuple[Entry, ...]
    bottom: tuple[Entry, ...]


@dataclass(frozen=True)
class Vocabulary:
    """What a feature's decoder row promotes and suppresses.

    `heads`: one ranking a head: one for a language model, one a codebook for MusicGen.
    """

    feature: int
    heads: tuple[Ranking, ...]


def vocabulary(
    adapter: Adapter, dictionary: SparseDictionary, features: Sequence[int], *, count: int = 20
) -> tuple[Vocabulary, ...]:
    """The tokens that each feature's decoder row promotes and suppresses most (VocabProj).

    `dictionary`: a dictionary at a site of the stack that makes the output.

    Raises:
        DictionaryError: The dictionary does not belong to the model, or the heads do not read its site.

    Source: VocabProj in Gur-Arieh et al. 2025, arXiv:2501.08319.
    """
    logits = lens(adapter, dictionary, features)
    return tuple(
        Vocabulary(feature, rankings(adapter, values, count)) for feature, values in zip(features, logits, strict=True)
    )


def lens(adapter: Adapter, dictionary: SparseDictionary, features: Sequence[int]) -> Tensor:
    """Logits of unit decoder rows after the last norm and the heads, (features, heads, vocabulary) float32.

    `dictionary`: a dictionary at a site of the stack that makes the output.

    Raises:
        DictionaryError: The dictionary does not belong to the model, or the heads do not read its site.
    """
    site = dictionary.located(adapter)
    if site.stack != adapter.generator:
        raise DictionaryError(
            f"the output heads read the stack {adapter.generator!r}, not {site}; no lens there, but "
            "token_change and maximal_moments work"
        )
    rows = torch.stack([dictionary.direction(feature) for feature in features])
    return torch.cat([adapter.unembed(some).float().cpu() for some in rows.split(CHUNK)])


def top_tokens(adapter: Adapter, dictionary: SparseDictionary, features: Sequence[int], *, count: int = 20) -> Tensor:
    """The tokens that each feature's decoder row promotes most, (features, heads, count), the first most.

    `dictionary`: a dictionary at a site of the stack that makes the output.
    """
    return lens(adapter, dictionary, features).topk(count, dim=-1).indices


def rankings(adapter: Adapter, values: Tensor, count: int) -> tuple[Ranking, ...]:
    """Both ends of each head's vocabulary.

    `values`: one number a token, (heads, vocabulary).
    """
    count = min(count, values.shape[-1])
    return tuple(
        Ranking(_entries(adapter, head.topk(count)), _entries(adapter, head.topk(count, largest=False)))
        for head in values
    )


def _entries(adapter: Adapter, found: Any) -> tuple[Entry, ...]:
    return tuple(
        Entry(token, adapter.token_name(token), value)
        for value, token in zip(found.values.tolist(), found.indices.tolist(), strict=True)
    )
