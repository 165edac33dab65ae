"""A planted subspace of differences is found, in the order of its size."""

import pytest
import torch
from torch.testing import assert_close

from mmsteer.errors import ProbeError
from mmsteer.probes.nullu import nullu
from mmsteer.types import Activations, LogHistogram, Site

SITE = Site("text", 1, "mlp")
PAIRS, WIDTH = 40, 12


def planted(sizes=(3.0, 2.0, 1.0), noise=0.01):
    """Pairs that differ along the first axes of a random orthonormal basis; what they share is ten times as large."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator)).Q.T
    amounts = torch.randn(PAIRS, len(sizes), generator=generator)
    amounts = torch.linalg.qr(amounts).Q * PAIRS**0.5  # uncorrelated, of mean square one
    shared = 10 * torch.randn(PAIRS, WIDTH, generator=generator)
    clean = shared + amounts * torch.tensor(sizes) @ axes[: len(sizes)]
    clean = clean + noise * torch.randn(PAIRS, WIDTH, generator=generator)
    x = torch.cat([clean, shared])
    ids = tuple(map(str, range(2 * PAIRS)))
    labels, groups = [1] * PAIRS + [0] * PAIRS, [*map(str, range(PAIRS))] * 2
    return Activations({SITE: x}, {SITE: LogHistogram.of(x.norm(dim=1))}, ids, {"model": "m"}), labels, groups, axes


def test_the_planted_axes_are_found_in_order_of_size():
    activations, labels, groups, axes = planted()
    found = nullu(activations, labels, groups, k=3)
    assert list(found) == ["nullu:1", "nullu:2", "nullu:3"]
    basis = torch.stack([one.vectors[SITE] for one in found.values()])
    assert_close(basis @ basis.T, torch.eye(3), atol=1e-5, rtol=0)
    assert ((basis * axes[:3]).sum(1).abs() > 0.999).all()


def test_positives_lie_on_the_positive_side():
    activations, labels, groups, _ = planted()
    for one in nullu(activations, labels, groups, k=2).values():
        projection = activations.values[SITE] @ one.vectors[SITE]
        assert projection[:PAIRS].mean() > projection[PAIRS:].mean()
        assert one.stats[SITE].mean == pytest.approx(float(projection.mean()), rel=1e-4, abs=1e-5)


def test_what_pairs_share_is_not_found():
    activations, labels, groups, axes = planted()
    shuffled = groups[:PAIRS] + groups[PAIRS + 1 :] + groups[PAIRS : PAIRS + 1]  # the negative control: wrong pairs
    found = nullu(activations, labels, shuffled, k=1)["nullu:1"].vectors[SITE]
    assert abs(float(found @ axes[0])) < 0.9


def test_refusals():
    activations, labels, groups, _ = planted(noise=0.0)
    with pytest.raises(ProbeError, match="differ in 3 dimensions; ask for 1 to 3 directions, not 4"):
        nullu(activations, labels, groups)
    with pytest.raises(ProbeError, match="a positive and a negative"):
        nullu(activations, labels, [*map(str, range(2 * PAIRS))], k=1)
    nameless = Activations(activations.values, activations.norms, activations.ids, {})
    with pytest.raises(ProbeError, match="record them again"):
        nullu(nameless, labels, groups, k=1)
