"""Distances by their definition, whole or block by block."""

import pytest
import torch

from mmsteer.probes import distances as module
from mmsteer.probes.distances import ROWS, Distances
from mmsteer.probes.space import span_of

POINTS, OTHERS, RANK = 2 * ROWS + 37, 90, 6


@pytest.fixture(params=[0, module.KEPT], ids=["made again", "kept"])
def kept(request, monkeypatch):
    monkeypatch.setattr(module, "KEPT", request.param)


@pytest.fixture(params=[False, True], ids=["identity", "metric"])
def metric(request):
    root = torch.randn(RANK, RANK, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return root @ root.T if request.param else None


def points(count, seed):
    return torch.randn(count, RANK, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole(distances):
    found = torch.full((len(distances), OTHERS if len(distances) == POINTS else len(distances)), torch.nan)
    found = found.double()
    for rows, block in distances.blocks():
        found[rows] = block
    return found


def defined(x, z, metric):
    difference = x[:, None] - z
    return torch.einsum(
        "nmr,rs,nms->nm", difference, torch.eye(RANK).double() if metric is None else metric, difference
    )


@pytest.mark.usefixtures("kept")
def test_distances_to_others_are_the_definition_and_what_is_outside(metric):
    x, z, outside = points(POINTS, 0), points(OTHERS, 1), torch.arange(POINTS).double()
    torch.testing.assert_close(whole(Distances.between(x, z, metric)), defined(x, z, metric))
    beyond = Distances.between(x, z, metric, outside)
    torch.testing.assert_close(whole(beyond), defined(x, z, metric) + outside[:, None])


@pytest.mark.usefixtures("kept")
def test_distances_among_points_have_an_exact_zero_for_each_itself(metric):
    x = points(ROWS + 5, 0)
    found = whole(Distances.among(x, x if metric is None else x @ metric))
    torch.testing.assert_close(found, defined(x, x, metric), atol=1e-9, rtol=1e-9)
    assert not found.diagonal().any()


def test_only_small_distances_are_kept(monkeypatch):
    x = points(ROWS, 0)
    few, many = Distances.among(x, x), Distances.among(x, x)
    again = [next(few.blocks())[1] for _ in range(2)]
    assert again[0].data_ptr() == again[1].data_ptr()
    monkeypatch.setattr(module, "KEPT", ROWS * ROWS - 1)
    held = [next(many.blocks())[1] for _ in range(2)]
    assert held[0].data_ptr() != held[1].data_ptr()


def test_the_median_of_some_distances_stands_for_that_of_all(monkeypatch):
    x = points(6000, 2).float()
    some = span_of(x, "median").scale
    monkeypatch.setattr("mmsteer.probes.space.SAMPLED", len(x))
    assert some == pytest.approx(span_of(x, "median").scale, rel=0.03)
    assert some != span_of(x, "median").scale
