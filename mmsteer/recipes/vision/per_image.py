"""A steering → one for each picture, along what that picture itself adds to the prompt: VISTA's directions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmsteer.data.contrasts import no_image
from mmsteer.probes import per_image_directions
from mmsteer.record import record
from mmsteer.steering import Steering
from mmsteer.types import Adapter, Direction, Sample


def along_each(adapter: Adapter, steering: Steering, shown: Sequence[Sample]) -> list[Steering]:
    """The same steering for each picture, from its prompt alone to its prompt with it, at the prompt's last token.

    Typical norms stay those of the directions that were found, so every picture is pushed as far as they would.

    Args:
        adapter: The model, unsteered.
        steering: What is applied, along directions that serve all pictures.
        shown: The pictures with their prompts.

    Source: Li et al. 2025, arXiv:2502.03628.
    """
    sites = sorted({site for item in steering.attributes for site in item.direction.sites})
    pairs = no_image([replace(one, id=str(at)) for at, one in enumerate(shown)])
    read = record(adapter, pairs.samples, sites, positions=pairs.positions, pool=pairs.pool)
    own = per_image_directions(read, pairs.labels, pairs.groups, family="image")
    return [_along(steering, own[str(at)]) for at in range(len(shown))]


def _along(steering: Steering, own: Direction) -> Steering:
    def turned(item: Any) -> Any:
        vectors = {site: own.vectors[site] for site in item.direction.sites}
        return replace(item, direction=replace(item.direction, vectors=vectors))

    return replace(steering, attributes=tuple(map(turned, steering.attributes)))
