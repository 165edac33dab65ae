"""The leading part of a spectrum against all of it."""

import pytest
import torch

from mmsteer.probes.spectrum import SKETCH, SMALL, carriers, leading, top_eigenvector


def _metric(values, seed=0):
    g = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(len(values), len(values), generator=g)).Q
    return basis * values @ basis.T, basis


@pytest.mark.parametrize("size", [SMALL, SMALL + 44])
def test_leading_eigenvectors_are_those_that_were_planted(size):
    values = torch.logspace(2, -12, size)
    metric, basis = _metric(values)
    found, vectors = leading(metric)
    assert len(found) == (size if size <= SMALL else SKETCH)
    torch.testing.assert_close(found[:8], values[:8], rtol=1e-4, atol=0)
    assert (vectors[:, :8] * basis[:, :8]).sum(dim=0).abs().min() > 0.9999


def test_carriers_leave_out_a_millionth_of_the_distances():
    values = torch.zeros(SMALL + 44)
    values[:3] = torch.tensor([1.0, 0.1, 1e-3])
    values[3:9] = 1e-9
    metric, _ = _metric(values)
    x = torch.randn(200, len(values), generator=torch.Generator().manual_seed(1))
    found, vectors = carriers(metric, x, x @ metric)
    torch.testing.assert_close(found, values[:3], rtol=1e-3, atol=1e-6)
    inside = (x @ vectors) * found.sqrt()
    torch.testing.assert_close(inside.square().sum(dim=1), ((x @ metric) * x).sum(dim=1), rtol=1e-4, atol=1e-4)


def test_a_flat_metric_has_no_carriers():
    metric, _ = _metric(torch.ones(SMALL + 44))
    x = torch.randn(50, len(metric), generator=torch.Generator().manual_seed(1))
    assert carriers(metric, x, x @ metric) is None


def test_a_close_second_does_not_mislead_the_top():
    values = torch.full((SMALL + 44,), 0.97)
    values[0] = 1.0
    metric, basis = _metric(values)
    assert (top_eigenvector(metric) @ basis[:, 0]).abs() > 0.999
