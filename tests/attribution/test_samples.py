"""Training samples as units: influence beside learning again without each, and planted wrong labels."""

import pytest
import torch

from mmsteer.attribution import TECHNIQUES, Effort, ProbeSamples, attribute_training
from mmsteer.errors import AttributionError
from mmsteer.probes.linear import regressions
from mmsteer.probes.logistic import regression
from mmsteer.probes.mean_difference import _between

KINDS = ("mean_difference", "linear", "logistic")
N, WIDTH, WRONG = 40, 6, (3, 17, 28, 33)


def two_clouds(n=N, seed=0, wrong=()):
    """Two clouds that differ along the first two coordinates; some labels are turned round."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    x = torch.randn(n, WIDTH, generator=generator) * torch.linspace(0.5, 1.5, WIDTH)
    x[:, :2] += 2.0 * y[:, None]
    given = y.clone()
    given[list(wrong)] = 1 - given[list(wrong)]
    return x, given


def probe(kind, wrong=(), n=N):
    x, y = two_clouds(n, wrong=wrong)
    held, held_y = two_clouds(200, seed=1)
    return ProbeSamples(kind, x, y, held, held_y, 0.1 if kind == "linear" else 1.0)


def correlation(a, b):
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_its_vector_is_that_of_the_probe(kind):
    one = probe(kind)
    found = one.vector(one.parameters, torch.ones(N).double())
    if kind == "mean_difference":
        wanted = _between(one.x, one.y[:, None], ("yes",))[:, 0]
    elif kind == "linear":
        wanted = regressions(one.x, one.y[:, None], (0.1,))[0].directions[:, 0]
    else:
        wanted = regression(one.x, one.y.long().numpy(), torch.arange(N), 1.0).directions[:, 0]
    assert float(torch.cosine_similarity(found, wanted.double(), dim=0)) > 1 - 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_influence_is_the_slope_in_a_weight(kind):
    """By hand: the number after learning with one sample counted a little more and a little less."""
    one, at, step = probe(kind), 5, 1e-3
    found = attribute_training(one).values
    ends = []
    for sign in (1, -1):
        shares = torch.ones(N).double()
        shares[at] += sign * step
        ends.append(float(one.number(one._minimum(shares), shares)))
    assert float(found[at]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_influence_agrees_with_leaving_one_out(kind):
    one = probe(kind, WRONG)
    exact = attribute_training(one, "occlusion").values
    assert correlation(attribute_training(one).values, exact) > 0.97  # to first order in 1 of 40 samples
    shuffled = exact[torch.randperm(N, generator=torch.Generator().manual_seed(2))]
    assert abs(correlation(attribute_training(one).values, shuffled)) < 0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("technique", ["influence", "datamodels"])
def test_wrong_labels_come_first(kind, technique):
    values = attribute_training(probe(kind, WRONG), technique, Effort(draws=150)).values
    assert set(values.argsort()[: len(WRONG)].tolist()) == set(WRONG)
    # Without wrong labels none of these stands out.
    clean = attribute_training(probe(kind), technique, Effort(draws=150)).values
    assert set(clean.argsort()[: len(WRONG)].tolist()) != set(WRONG)


def test_shapley_values_of_a_small_training_add_up():
    found = attribute_training(probe("mean_difference", n=8), "exact-shapley")
    assert abs(found.missing) < 1e-6
    assert found.nothing == 0.0


@pytest.mark.parametrize("technique", ["gradient", "integrated-gradients", "lime", "magic"])
def test_what_is_not_of_samples_is_refused_with_the_reason(technique):
    reason = f"not for training samples: {TECHNIQUES[technique].not_of_samples}" if technique in TECHNIQUES else "magic"
    with pytest.raises(AttributionError, match=reason):
        attribute_training(probe("linear"), technique)


def test_a_probe_without_a_smooth_objective_is_refused():
    with pytest.raises(AttributionError, match="no smooth objective"):
        probe("rfm")
    x, y = two_clouds()
    with pytest.raises(AttributionError, match="labels of both sides"):
        ProbeSamples("linear", x, torch.ones(N), x, y)
