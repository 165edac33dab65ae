"""What trained vectors do to the output, read off the model: the logit lens, tokens raised, and additivity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmsteer.latents.token_change import mean_change
from mmsteer.latents.vocabulary import Ranking, rankings
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Adapter, Sample, Site


@dataclass(frozen=True)
class VectorReading:
    """The vector of one site.

    Attributes:
        site: Where it is added.
        lens: Tokens that the last norm and the heads make of the vector itself, one ranking a head.
        raised: Tokens whose logits it moves most, added alone, on average over the tokens that predict output; one
            ranking a head.
    """

    site: Site
    lens: tuple[Ranking, ...]
    raised: tuple[Ranking, ...]


@dataclass(frozen=True)
class VectorReadings:
    """All vectors of a direction.

    Attributes:
        vectors: One a site.
        cosine: Of what all move together with the sum of what each moves alone; 1 for one vector.
        ratio: The length of the former over that of the latter.
    """

    vectors: tuple[VectorReading, ...]
    cosine: float
    ratio: float


def read_vectors(
    adapter: Adapter, trained: Attribute, contexts: Sequence[Sample], *, count: int = 10
) -> VectorReadings:
    """Read off what the vectors of a direction do, alone and together.

    Args:
        adapter: The model.
        trained: The direction as it is applied, at all of its sites, which are of the stack that makes the output.
        contexts: Prompts with outputs.
        count: Tokens at either end of each head.

    Source: Sinii et al. 2025, arXiv:2509.06608 (logit lens of trained vectors, tokens that they promote, and
    additivity of vectors of several layers).
    """
    sites = trained.direction.sites
    alone = {site: mean_change(adapter, _steering(replace(trained, sites=str(site))), contexts) for site in sites}
    together = mean_change(adapter, _steering(trained), contexts) if len(sites) > 1 else alone[sites[0]]
    summed = torch.stack(list(alone.values())).sum(dim=0)
    return VectorReadings(
        tuple(_reading(adapter, trained.direction.vectors, site, alone[site], count) for site in sites),
        float(torch.cosine_similarity(together.flatten(), summed.flatten(), dim=0)),
        float(together.norm() / summed.norm()),
    )


def _reading(adapter: Adapter, vectors: Mapping[Site, Tensor], site: Site, change: Tensor, count: int) -> VectorReading:
    lens = adapter.unembed(vectors[site][None])[0].float().cpu()
    return VectorReading(site, rankings(adapter, lens, count), rankings(adapter, change, count))


def _steering(item: Attribute) -> Steering:
    return Steering((item,))
