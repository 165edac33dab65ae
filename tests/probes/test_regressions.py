"""Logistic and linear probes: weights by hand, what was planted, and what they see that means do not."""

import json
import math

import numpy as np
import pytest
import torch

from mmsteer.errors import ProbeError
from mmsteer.probes import Linear, Logistic, MeanDifference
from mmsteer.probes.linear import regressions
from mmsteer.probes.logistic import regression
from tests.probes.toys import classes, mean_shift, sign_linear, values

PROBES = {"logistic": Logistic(), "linear": Linear()}


@pytest.fixture(params=list(PROBES))
def probe(request):
    return PROBES[request.param]


def round_shift(n=600, d=32, shift=4.0, seed=0):
    """A shift in noise that is the same in all directions: there the best weight is the shift."""
    g = torch.Generator().manual_seed(seed)
    truth = torch.nn.functional.normalize(torch.randn(d, generator=g), dim=0)
    y = (torch.rand(n, generator=g) < 0.5).float()
    return torch.randn(n, d, generator=g) + shift * (y[:, None] - 0.5) * truth, y, truth


def test_a_ridge_regression_by_hand():
    """XᵀX = diag(2, 8), Xᵀ(y - 1/2) = (1, 2), and n r s = 4 x 0.2 x 1.25 = 1: w = (1/3, 2/9)."""
    x = torch.tensor([[1.0, 0], [-1, 0], [0, 2], [0, -2]])
    y = torch.tensor([[1.0], [0], [1], [0]])
    one, least_squares = regressions(x + 7, y, [0.2, 1e-12])
    torch.testing.assert_close(one.weights[:, 0], torch.tensor([1 / 3, 2 / 9], dtype=torch.float64))
    torch.testing.assert_close(least_squares.weights[:, 0], torch.tensor([1 / 2, 1 / 4], dtype=torch.float64))
    torch.testing.assert_close(one(x + 7)[0], torch.tensor([1 / 2 + 1 / 3]))
    torch.testing.assert_close(one.directions[:, 0], torch.tensor([3.0, 2.0]) / math.sqrt(13))


def test_a_logistic_regression_by_hand():
    """At x = 7 three of four are positive, at x = 3 one of four: the logit is (x - 5) ln(3) / 2."""
    x = torch.tensor([7.0] * 4 + [3.0] * 4)[:, None] * torch.tensor([[1.0, 0.0]])
    classes = np.array([1, 1, 1, 0, 1, 0, 0, 0])
    found = regression(x, classes, torch.arange(8), 1e8)
    torch.testing.assert_close(
        found.weights[:, 0], torch.tensor([math.log(3) / 2, 0.0], dtype=torch.float64), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(found(x)[:, 0], torch.tensor([math.log(3)] * 4 + [-math.log(3)] * 4), atol=1e-3, rtol=0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_shift_in_round_noise_is_the_weight(probe, seed):
    x, y, truth = round_shift(seed=seed)
    fitted = probe.fit(x, y, task="binary")
    found = fitted.directions["yes"]
    torch.testing.assert_close(found.norm(), torch.tensor(1.0))
    assert found.dtype == torch.float32
    assert found @ truth > 0.9
    assert probe.fit(x, 1 - y, task="binary").directions["yes"] @ truth < -0.9
    assert fitted.score > 0.95
    assert fitted.label_scores["yes"] == pytest.approx(fitted.score)


def test_the_weight_is_the_discriminant_and_not_the_shift(probe):
    """Of a shift in noise with covariance S the best weight is S⁻¹ shift: along the quiet coordinates."""
    x, y, truth = mean_shift(n=6000, shift=2.0)
    discriminant = truth / torch.logspace(0.5, -1, 64).square()
    found = probe.fit(x, y, task="binary").directions["yes"]
    assert found @ discriminant / discriminant.norm() > 0.9
    assert found @ truth < 0.8


def test_a_boundary_that_the_means_do_not_show(probe):
    x, y, truth = sign_linear()
    mean = MeanDifference().fit(x, y, task="binary").directions["yes"] @ truth
    assert probe.fit(x, y, task="binary").directions["yes"] @ truth > mean + 0.2


def test_one_direction_a_class(probe):
    x, y, truth = classes(d=12)
    x = x / torch.logspace(0.5, -1, 12) + 5 * truth[[int(name.split()[1]) for name in y]]
    fitted = probe.fit(x, y, task="multiclass")
    assert list(fitted.directions) == [f"class {k}" for k in range(6)]
    assert fitted.metric == "accuracy"
    assert fitted.score > 0.95
    assert min(fitted.label_scores.values()) > 0.95
    assert fitted.scores(x[:7]).shape == (7, 6)


def test_values_are_for_the_linear_probe():
    x, y, truth = values()
    fitted = Linear().fit(x, 100 + 30 * y, task="regression")
    assert fitted.directions["more"] @ truth > 0.95
    assert fitted.score > 0.5
    with pytest.raises(ProbeError, match="for values take the linear probe"):
        Logistic().fit(x, y, task="regression")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shuffled_labels_find_nothing(probe, seed):
    # 450 held-out samples: the standard error of a chance AUC is 0.027.
    x, y, truth = round_shift(n=3000, d=64, seed=seed)
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]
    fitted = probe.fit(x, y, task="binary")
    assert abs(fitted.score - 0.5) < 0.11
    assert abs(float(fitted.directions["yes"] @ truth)) < 0.6


def test_the_penalty_is_chosen_on_validation():
    """Few samples in many dimensions: what fits them best generalises worst."""
    x, y, truth = round_shift(n=240, d=160)
    chosen = Linear().fit(x, y, task="binary")
    none = Linear((1e-9,)).fit(x, y, task="binary")
    assert chosen.settings["chosen"] > 1e-4
    assert chosen.directions["yes"] @ truth > none.directions["yes"] @ truth + 0.1
    assert Logistic().fit(x, y, task="binary").settings["chosen"] in Logistic().penalties


def test_a_source_is_never_on_both_sides(probe):
    """Every source has a mark of its own, and one label: a probe that had seen the mark would know the label."""
    g = torch.Generator().manual_seed(0)
    marks = 10 * torch.randn(40, 1, 64, generator=g)
    x = (marks + torch.randn(40, 10, 64, generator=g)).reshape(400, 64)
    y = (torch.rand(40, generator=g) < 0.5).float().repeat_interleave(10)
    groups = [f"source {k // 10}" for k in range(400)]
    assert probe.fit(x, y, task="binary", groups=groups).score < 0.95
    assert probe.fit(x, y, task="binary").score > 0.99


def test_scale_and_offset_of_the_states_do_not_matter(probe):
    x, y, _ = round_shift(n=200, d=16)
    plain = probe.fit(x, y, task="binary").directions["yes"]
    moved = probe.fit(1000 * x + 5000, y, task="binary").directions["yes"]
    assert plain @ moved > 0.999


def test_a_coordinate_that_never_varies_gets_no_weight(probe):
    x, y, _ = round_shift(n=200, d=16)
    x[:, 3] = 4.0
    assert probe.fit(x, y, task="binary").directions["yes"][3].abs() < 1e-12


def test_settings_are_plain_json_and_progress_ends_at_one(probe):
    x, y, _ = round_shift(n=60, d=8)
    parts = []
    fitted = probe.fit(x, y, task="binary", progress=parts.append)
    assert json.loads(json.dumps(fitted.settings, allow_nan=False))["task"] == "binary"
    assert parts == sorted(parts)
    assert parts[-1] == 1


@pytest.mark.parametrize(
    ("empty", "message"), [(Logistic(()), "nothing to try"), (Linear(()), "above zero"), (Linear((0.0,)), "above zero")]
)
def test_nothing_to_choose_from(empty, message):
    x, y, _ = round_shift(n=60, d=8)
    with pytest.raises(ProbeError, match=message):
        empty.fit(x, y, task="binary")


def test_one_state_a_sample(probe):
    x, y, _ = round_shift(n=60, d=8)
    with pytest.raises(ProbeError, match="pool them first"):
        probe.fit(x[:, None], y, task="binary")


def test_two_classes_by_name_are_the_binary_regression():
    states = torch.randn(80, 6, generator=torch.Generator().manual_seed(0))
    yes = (states[:, 2] > 0).long()
    named = Logistic().fit(states, ["b" if one else "a" for one in yes], task="multiclass")
    binary = Logistic().fit(states, yes, task="binary")
    torch.testing.assert_close(named.directions["b"], binary.directions["yes"])
    torch.testing.assert_close(named.directions["a"], -binary.directions["yes"])
    scores = named.scores(states)
    torch.testing.assert_close(scores[:, 1] - scores[:, 0], binary.scores(states)[:, 0])
