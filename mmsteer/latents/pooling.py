"""Activations of a dictionary's features, one number a sample."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.latents.token_states import layer_states
from mmsteer.sae import SparseDictionary, Usage
from mmsteer.sae.usage import UsageCounter
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

    `z`: pooled activations, (n, features).
    `used`: how the features are used at the tokens that were pooled.
    """

    z: Tensor
    used: Usage


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
    return pooled_layers(adapter, [dictionary], samples, positions=positions, pool=pool, batch=batch)[0]


@torch.no_grad()
def pooled_layers(
    adapter: Adapter,
    dictionaries: Sequence[SparseDictionary],
    samples: Sequence[Sample],
    *,
    positions: Positions,
    pool: str = "max",
    batch: int = 8,
) -> tuple[Pooled, ...]:
    """The same in dictionaries of several layers, each stack read once.

    Args:
        adapter: The model.
        dictionaries: Dictionaries that know their sites.
        samples: Samples with their outputs.
        positions: Which tokens.
        pool: A name of `POOLS`.
        batch: Samples a forward.

    Raises:
        DictionaryError: As for `pooled`.
    """
    if pool not in POOLS:
        raise DictionaryError(f"no pool {pool!r}; choose from {', '.join(POOLS)}")
    sites = [one.located(adapter) for one in dictionaries]
    counters = [UsageCounter(one) for one in dictionaries]
    rows: list[list[Tensor]] = [[] for _ in dictionaries]
    for stack in dict.fromkeys(site.stack for site in sites):
        places = [at for at, site in enumerate(sites) if site.stack == stack]
        for read in layer_states(adapter, samples, [sites[at] for at in places], batch=batch):
            for one, at in zip(read, places, strict=True):
                chosen = one.states[one.pooled_over(positions)]
                if not len(chosen):
                    raise DictionaryError(f"the positions '{positions}' select no token of sample {one.sample.id!r}")
                rows[at].append(POOLS[pool](counters[at].add(chosen)))
    return tuple(Pooled(torch.stack(some), counter.usage()) for some, counter in zip(rows, counters, strict=True))
