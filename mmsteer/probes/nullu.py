"""Nullu's subspace: the directions along which pairs of samples differ most."""

from collections.abc import Sequence

import torch

from mmsteer.errors import ProbeError
from mmsteer.probes.pairs import differences, paired
from mmsteer.probes.sweep import MODEL_KEY
from mmsteer.types import Activations, Direction, Site, SiteStats


def nullu(
    activations: Activations, positive: Sequence[int], groups: Sequence[str], *, k: int = 4, family: str = "nullu"
) -> dict[str, Direction]:
    """The first k right singular vectors of the matrix of pair differences, not centred, at every site.

    They are orthonormal at a site, so `project_out` of all of them, or `fold`, removes the subspace. Each points to the
    side on which the positives lie on average. The paper reads them in the residual stream and writes them into the
    last weight of the MLP; here the site read is the site written, so read at `mlp` sites.

    `activations`: pooled hidden states, (samples, width) at each site.
    `positive`: 1 for the one sample of a pair (the clean caption), 0 for the other (the hallucinated one).
    `k`: how many directions.
    `family`: they are named `family:1` to `family:k`, the largest difference first.

    Raises:
        ProbeError: A group lacks one of its sides, there are fewer pairs than directions, or the pairs do not differ in
            as many dimensions.

    Source: Yang et al. 2025, arXiv:2412.13817.
    """
    sides = torch.tensor(positive, dtype=torch.float32)
    if not paired(groups, sides):
        raise ProbeError("nullu needs a positive and a negative sample in every group; leave out groups that lack one")
    if MODEL_KEY not in activations.source:
        raise ProbeError(f"activations do not say which {MODEL_KEY} they come from; record them again")
    bases = {site: _basis(activations, site, sides, groups, k) for site in activations.sites}
    return {f"{family}:{rank + 1}": _direction(f"{family}:{rank + 1}", rank, bases, activations) for rank in range(k)}


def _basis(activations: Activations, site: Site, positive: torch.Tensor, groups: Sequence[str], k: int) -> torch.Tensor:
    """The directions at a site, (k, width) float32.

    Raises:
        ProbeError: The pairs differ in fewer than k dimensions.
    """
    matrix = differences(activations.values[site], positive, groups)
    _, sizes, axes = torch.linalg.svd(matrix, full_matrices=False)
    rank = int((sizes > 1e-6 * activations.norms[site].median).sum())
    if not 0 < k <= rank:
        raise ProbeError(
            f"nullu at {site}: {len(matrix)} pairs differ in {rank} dimensions; ask for 1 to {rank} directions, not {k}"
        )
    # SVD fixes no sign.
    sides = torch.where(axes[:k] @ matrix.mean(dim=0) < 0, -1.0, 1.0)
    return (axes[:k] * sides[:, None]).float()


def _direction(name: str, rank: int, bases: dict[Site, torch.Tensor], activations: Activations) -> Direction:
    vectors = {site: basis[rank].cpu().contiguous() for site, basis in bases.items()}
    stats = {
        site: SiteStats.of(None, activations.values[site].float().cpu() @ vector, activations.norms[site])
        for site, vector in vectors.items()
    }
    provenance = {
        **activations.provenance,
        "probe": "nullu",
        "rank": str(rank + 1),
        "of": str(len(next(iter(bases.values())))),
    }
    return Direction(name, vectors, stats, activations.source[MODEL_KEY], provenance, sketch=activations.sketch)
