"""Hand-made dictionaries, and samples for the small models of the other tests."""

import numpy as np
import torch
from torch.nn import functional

from mmsteer.sae import SparseDictionary
from mmsteer.types import Sample, Site
from tests.steering.seeing import picture


def made(adapter, site, rows, *, encoder=None, bias=0.0, threshold=0.0):
    """A dictionary whose features are written along some unit rows and read along the same, or along others."""
    rows = functional.normalize(torch.as_tensor(rows).float(), dim=1)
    encoder = rows if encoder is None else encoder
    return SparseDictionary(
        encoder.T.contiguous(),
        torch.full((len(rows),), float(bias)),
        rows,
        torch.zeros(rows.shape[1]),
        torch.full((len(rows),), float(threshold)),
        site=Site.parse(site),
        model=adapter.fingerprint,
    )


def drawn(adapter, site, features=6, seed=0, **options):
    """A dictionary of random rows."""
    generator = torch.Generator().manual_seed(seed)
    width = adapter.widths[Site.parse(site)]
    return made(adapter, site, torch.randn(features, width, generator=generator), **options)


def clips(count=3, samples=6400):
    rng = np.random.default_rng(0)
    # An untrained codec hears no difference between quiet clips.
    waves = rng.normal(scale=5000, size=(count, samples)).astype(np.float32)
    return [Sample(f"clip-{i}", "a slow melody", output=wave) for i, wave in enumerate(waves)]


def pictures(count=3, answer="the table is there"):
    return [Sample(f"picture-{i}", "describe the image", (picture(i),), answer) for i in range(count)]
