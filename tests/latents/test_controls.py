"""What stands beside chosen features: as strong, and found nowhere."""

import pytest
import torch

from mmsteer.latents.controls import controls
from mmsteer.types import Direction, Positions, Site, SiteStats

SITES = tuple(Site("text", layer) for layer in range(12, 16))


def direction(site, seed):
    vector = torch.nn.functional.normalize(torch.randn(512, generator=torch.Generator().manual_seed(seed)), dim=0)
    stats = {site: SiteStats(None, 0.0, 1.0, 1.0)}
    return Direction(f"feature:{site}", {site: vector}, stats, "model", {"strength": "2.0"})


def test_random_directions_of_several_sites_are_unlike():
    """One vector at four sites adds up to 4 in the residual stream, four unrelated ones to 2."""
    chosen = [direction(site, seed) for seed, site in enumerate(SITES)]
    [one, again] = [controls(chosen, chosen, Positions("all"))["random direction"] for _ in range(2)]
    vectors, repeated = (
        torch.stack([vector for item in some.attributes for vector in item.direction.vectors.values()])
        for some in (one, again)
    )
    assert torch.equal(vectors, repeated)
    assert (vectors @ vectors.T - torch.eye(4)).abs().max() < 0.25
    assert float(vectors.sum(dim=0).norm()) == pytest.approx(2, abs=0.3)
    assert [item.direction.sites for item in one.attributes] == [(site,) for site in SITES]
