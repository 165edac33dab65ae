"""Kernels of other norms: values and gradients by hand, by differentiation, and as xRFM computes them."""

import numpy as np
import pytest
import torch

from mmsteer.probes.distances import Distances
from mmsteer.probes.kernel import Gradients, Setting
from mmsteer.probes.lpq import NormMachine, NormSetting, square_root

SETTINGS = [NormSetting(2.0, 1.1, 0.1, norm=1.4), NormSetting(3.0, 0.7, 0.1, norm=0.8), NormSetting(1.5, 1.0, 0.1)]


def machine(setting, seed=0, labels=2):
    generator = torch.Generator().manual_seed(seed)
    train, columns, half = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((12, 3), (12, labels), (3, 3))
    )
    return NormMachine.fit(train, columns, square_root(half @ half.T), setting)


def test_two_points_on_a_line_by_hand():
    # f(x) = exp(-|x - 1| / 2): at 3 it is e^-1 and falls by half of that a unit.
    setting = NormSetting(bandwidth=2.0, exponent=1.0, norm=1.0)
    one = NormMachine(torch.tensor([[1.0]]), torch.eye(1), torch.tensor([[1.0]]), setting)
    assert one(torch.tensor([[3.0]])).item() == pytest.approx(np.exp(-1))
    assert one.gradients(torch.tensor([[3.0]])).item() == pytest.approx(-np.exp(-1) / 2)


def test_the_norm_adds_up_powers_of_the_coordinates():
    setting = NormSetting(bandwidth=1.0, exponent=1.0, norm=1.5)
    one = NormMachine(torch.zeros(1, 2), torch.eye(2), torch.ones(1, 1), setting)
    distance = (0.5**1.5 + 2**1.5) ** (1 / 1.5)
    assert one(torch.tensor([[0.5, -2.0]])).item() == pytest.approx(np.exp(-distance))


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_gradients_are_those_of_the_predictor(setting):
    fitted = machine(setting)
    points = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    found = fitted.gradients(points.detach())
    for label in range(2):
        [expected] = torch.autograd.grad(fitted(points)[:, label].sum(), points)
        torch.testing.assert_close(found[:, label], expected)
    step = torch.tensor([1e-6, 0, 0], dtype=torch.float64)
    slope = (fitted(points + step) - fitted(points - step)).detach() / 2e-6
    torch.testing.assert_close(found[:, :, 0], slope, rtol=1e-5, atol=1e-8)


def test_it_interpolates_without_a_ridge():
    generator = torch.Generator().manual_seed(2)
    train, columns = torch.randn(9, 3, generator=generator).double(), torch.randn(9, 1, generator=generator).double()
    fitted = NormMachine.fit(train, columns, torch.eye(3).double(), NormSetting(2.0, 1.0, 1e-12, norm=1.3))
    torch.testing.assert_close(fitted(train), columns)


def test_with_the_euclidean_norm_it_is_the_kernel_of_the_layers():
    setting = NormSetting(2.0, 1.2, 0.1, norm=2.0)
    fitted = machine(setting, labels=1)
    metric = fitted.root @ fitted.root
    mapped = fitted.train @ metric
    plain = Gradients(mapped, mapped, Distances.among(fitted.train, mapped), fitted.coefficients, Setting(2.0, 1.2))
    torch.testing.assert_close(fitted.gradients(fitted.train)[:, 0], plain.of(0), rtol=1e-6, atol=1e-9)


def test_centring_takes_the_mean_gradient_away():
    centred, plain = machine(NormSetting(2.0, 1.0, 0.1, True, 1.4)), machine(NormSetting(2.0, 1.0, 0.1, False, 1.4))
    mean = plain.gradients(plain.train).flatten(0, 1).mean(dim=0)
    torch.testing.assert_close(centred.agop(), plain.agop() - torch.outer(mean, mean))


def test_points_that_agree_in_a_coordinate_have_no_slope_there():
    one = NormMachine(torch.zeros(1, 2), torch.eye(2), torch.ones(1, 1), NormSetting(1.0, 0.7, norm=0.8))
    assert one.gradients(torch.tensor([[1.0, 0.0]]))[0, 0, 1] == 0


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_xrfm_computes_the_same(setting):
    kernels = pytest.importorskip("xrfm.rfm_src.kernels", exc_type=ImportError)
    fitted = machine(setting)
    theirs = kernels.LpqLaplaceKernel(setting.bandwidth, setting.norm, setting.exponent)
    new = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = theirs.get_kernel_matrix(fitted.train, new, fitted.root)
    torch.testing.assert_close(fitted(new), values.T @ fitted.coefficients)
    # One output at a time: for several, torch.func.jacrev of torch.cdist is wrong from the second on (torch 2.11).
    for label in range(2):
        own = fitted.coefficients[:, [label]].T
        gradients = theirs.get_function_grads(fitted.train, new, own, fitted.root)
        torch.testing.assert_close(fitted.gradients(new)[:, [label]], gradients.transpose(0, 1))
