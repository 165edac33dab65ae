"""Activations of a dictionary's features, one number a sample."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.latents.token_states import token_states
from mmsteer.sae import SparseDictionary, Usage, usage
from mmsteer.types import Adapter, Positions, Sample

POOLS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "max": lambda z: z.amax(dim=0),
        "mean": lambda z: z.mean(dim=0),
        "last": lambda z: z[-1],
        "sum": lambda z: z.sum(dim=0),
        "count": lambda z: (z > 0).sum(dim=0).float(),
    }
)
"""What becomes of a sample's activations, (tokens, features), by name; `count` is the tokens it is active at."""


@dataclass(frozen=True, eq=False)
class Pooled:
    """Activations of some samples.

    Attributes:
        z: Pooled activations, (n, features).
        used: How the features are used at the tokens that were pooled.
    """

    z: Tensor
    used: Usage


@torch.no_grad()
def pooled(
    adapter: Adapter,
    dictionary: SparseDictionary,
    samples: Sequence[Sample],
    *,
    positions: Positions,
    pool: str = "max",
    batch: int = 8,
) -> Pooled:
    """Read samples and pool each feature's activations over their tokens, attention sinks left out.

    `pool`: a name of `POOLS`.

    Raises:
        DictionaryError: There is no such pool, the dictionary does not belong to the model, there are no samples, or
            the positions select no token of one.
    """
    if pool not in POOLS:
        raise DictionaryError(f"no pool {pool!r}; choose from {', '.join(POOLS)}")
    site = dictionary.located(adapter)
    rows: list[Tensor] = []

    def states() -> Iterator[Tensor]:
        for one in token_states(adapter, samples, site, batch=batch):
            chosen = one.states[one.pooled_over(positions)]
            if not len(chosen):
                raise DictionaryError(f"the positions '{positions}' select no token of sample {one.sample.id!r}")
            rows.append(POOLS[pool](dictionary.encode(chosen.to(dictionary.decoder.device)).cpu()))
            yield chosen

    used = usage(dictionary, states())
    return Pooled(torch.stack(rows), used)
