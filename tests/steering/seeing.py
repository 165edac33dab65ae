"""What the tests of vision-language steering share: a small LLaVA, samples, directions, and what a site returned."""

import pytest
import torch
from PIL import Image

from mmsteer import hooks
from mmsteer.adapters import load
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Direction, Sample, Site, SiteStats
from tests.adapters.checkpoints import save

TOKENS = 5
"""Of one image in the vision tower: four patches and the class token."""


@pytest.fixture(scope="session")
def llava(tmp_path_factory):
    return load(save("llava", tmp_path_factory.mktemp("llava")))


def picture(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Image.fromarray(torch.randint(0, 255, (16, 16, 3), generator=generator, dtype=torch.uint8).numpy())


def samples(count=1):
    return [Sample(str(one), "describe the image", (picture(one),)) for one in range(count)]


def direction(adapter, sites, *, tokens=None, seed=0, mean=0.0, spread=1.0, norm=1.0):
    """A random direction at some sites, one vector a site or one a token."""
    generator = torch.Generator().manual_seed(seed)
    chosen = [Site.parse(site) for site in sites]
    shape = (tokens,) if tokens else ()
    draws = {site: torch.randn(*shape, adapter.widths[site], generator=generator) for site in chosen}
    vectors = {site: draw / draw.norm(dim=-1, keepdim=True) for site, draw in draws.items()}
    return Direction("d", vectors, dict.fromkeys(chosen, SiteStats(0.9, mean, spread, norm)), adapter.fingerprint)


def steering(direction, strength=0.5, **fields):
    return Steering((Attribute(direction, strength, **fields),))


def logits(adapter, count=1):
    return adapter.read(adapter.reading(samples(count)))


def states(adapter, site, run):
    """What a site returned, forward by forward."""
    seen = []
    with hooks.readings({adapter.module(Site.parse(site)): lambda state: seen.append(state.clone())}):
        run()
    return seen
