"""Where a dictionary's features are most active: words, moments of a clip, regions of a picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.latents.token_states import TokenStates, token_states
from mmsteer.sae import SparseDictionary
from mmsteer.types import Adapter, Kind, Positions, Sample

NOT_FIRST = Positions("all - first")
"""All tokens but the first: attention rests on it, and its state is like no other."""

Region = tuple[float, float, float, float]
"""Left, top, right and bottom of a rectangle, in shares of the picture's width and height."""


@dataclass(frozen=True)
class Moment:
    """One token at which a feature is active.

    Attributes:
        sample: Name of the sample.
        place: Place of the token among those of the sample that the model read, from 0; padding is none.
        activation: How active the feature is.
        tokens: What the model was given there, one token a vocabulary; nothing in a vision tower.
        words: The same as people read it.
        step: The output step that the token's state predicts; below 0 in a prompt.
        seconds: The same in seconds of the output; None where it has no duration.
        region: The part of the picture that the token stands for; None for a word, and where the picture's tokens
            are not one square grid.
    """

    sample: str
    place: int
    activation: float
    tokens: tuple[int, ...]
    words: str
    step: int
    seconds: float | None
    region: Region | None


@dataclass(frozen=True)
class Maximal:
    """The top activating moments of a feature, one a sample, the most active first.

    `moments`: the moments; none for a feature that is silent on these samples.
    """

    feature: int
    moments: tuple[Moment, ...]


def maximal_moments(
    adapter: Adapter,
    dictionary: SparseDictionary,
    samples: Sequence[Sample],
    features: Sequence[int] | None = None,
    *,
    count: int = 10,
    positions: Positions = NOT_FIRST,
    batch: int = 8,
) -> tuple[Maximal, ...]:
    """For each feature the samples in which it is most active, and where in them (MaxAct).

    `features`: which features; None for all.

    Raises:
        DictionaryError: The dictionary names no site, or was trained at another one or on another model.

    Source: MaxAct in Gur-Arieh et al. 2025, arXiv:2501.08319.
    """
    site = dictionary.located(adapter)
    which = torch.arange(dictionary.features) if features is None else torch.as_tensor(list(features), dtype=torch.long)
    seen: list[TokenStates] = []
    best = torch.zeros(count, len(which))
    where = torch.zeros(2, count, len(which), dtype=torch.long)
    for number, read in enumerate(token_states(adapter, samples, site, batch=batch)):
        one = read.unpadded()
        activation, place = _peaks(dictionary, one, positions, which)
        found = torch.stack([torch.full_like(place, number), place])
        # A sample enters with its largest activation; of the sample and those kept so far the largest stay.
        merged = torch.cat([best, activation[None]])
        best, order = merged.topk(count, dim=0)
        where = torch.cat([where, found[:, None]], dim=1).gather(1, order.expand(2, -1, -1))
        seen.append(TokenStates(one.sample, one.states[:0], one.tokens, one.given))
    return tuple(
        Maximal(
            int(feature),
            tuple(
                _moment(adapter, seen[int(number)], int(place), float(value))
                for value, number, place in zip(best[:, at], *where[:, :, at], strict=True)
                if value > 0
            ),
        )
        for at, feature in enumerate(which)
    )


def _peaks(
    dictionary: SparseDictionary, one: TokenStates, positions: Positions, which: Tensor
) -> tuple[Tensor, Tensor]:
    """Largest activation of each feature in a sample, and its place, (features,) both."""
    z = _encode(dictionary, one) * one.chosen(positions)[:, None]
    activation, place = z[:, which].max(dim=0)
    return activation, place


def _encode(dictionary: SparseDictionary, one: TokenStates) -> Tensor:
    return dictionary.encode(one.states.to(dictionary.decoder.device)).cpu()


def _moment(adapter: Adapter, one: TokenStates, place: int, activation: float) -> Moment:
    step = int(one.tokens.steps[place])
    tokens = tuple(int(token) for token in one.given[place])
    return Moment(
        one.sample.id,
        place,
        activation,
        tokens,
        " ".join(map(adapter.token_name, tokens)),
        step,
        step / one.tokens.rate if one.tokens.rate else None,
        _region(one.tokens.kinds[0], place),
    )


def _region(kinds: Tensor, place: int) -> Region | None:
    """The cell of a square grid of patches, row by row, that a token stands for."""
    patches = ((kinds & int(Kind.IMAGE)) != 0) & ((kinds & int(Kind.FIRST)) == 0)
    side = math.isqrt(int(patches.sum()))
    if not patches[place] or side**2 != int(patches.sum()):
        return None
    row, column = divmod(int(patches[:place].sum()), side)
    return column / side, row / side, (column + 1) / side, (row + 1) / side
