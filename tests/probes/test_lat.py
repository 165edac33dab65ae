"""Random differences of length 1: who is paired with whom, what their component is, and where it fails."""

import numpy as np
import pytest
import torch

from mmsteer.errors import ProbeError
from mmsteer.probes import LAT, MeanDifference
from mmsteer.probes.lat import random_pairs, tomography
from tests.probes.toys import classes, mean_shift, pairs


def test_every_positive_meets_a_negative_of_its_own_group():
    positive = torch.tensor([1.0, 0, 0, 1, 0, 1])
    groups = ["a", "a", "a", "b", "b", "b"]
    ones, others = random_pairs(positive, groups, np.random.default_rng(0))
    assert ones.tolist() == [0, 3, 5]
    assert others[0] in (1, 2)
    assert others[1:].tolist() == [4, 4]


def test_without_pairs_a_positive_meets_any_negative():
    positive = torch.tensor([1.0] * 50 + [0.0] * 50)
    alone = [f"source {k}" for k in range(100)]
    ones, others = random_pairs(positive, alone, np.random.default_rng(0))
    assert ones.tolist() == list(range(50))
    assert set(others.tolist()) <= set(range(50, 100))
    assert len(set(others.tolist())) > 20


def test_the_component_of_three_differences_by_hand():
    """Differences (3, 0), (0, 9) and (0, -2) at length 1: the second axis explains two of three, and its mean is 0."""
    x = torch.tensor([[3.0, 0], [0, 9], [0, -2], [0, 0], [0, 0], [0, 0]])
    positive = torch.tensor([1.0, 1, 1, 0, 0, 0])
    found = tomography(x, positive, None, np.random.default_rng(0))
    torch.testing.assert_close(found.abs(), torch.tensor([0.0, 1.0], dtype=torch.float64))


def test_a_pair_that_is_far_apart_counts_no_more_than_another():
    x, y, groups, truth = pairs(noise=0.05)
    far = x.clone()
    far[1] += 1000 * torch.randn(x.shape[1], generator=torch.Generator().manual_seed(1))
    assert LAT().fit(far, y, task="binary", groups=groups).directions["yes"] @ truth > 0.95
    assert abs(MeanDifference().fit(far, y, task="binary", groups=groups).directions["yes"] @ truth) < 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_planted_shift_is_found_where_it_is_what_pairs_have_in_common(seed):
    x, y, truth = mean_shift(shift=7.0, seed=seed)
    fitted = LAT().fit(x, y, task="binary")
    assert fitted.directions["yes"] @ truth > 0.9
    assert LAT().fit(x, 1 - y, task="binary").directions["yes"] @ truth < -0.9
    assert fitted.score > 0.95


def test_a_small_shift_is_lost_in_what_else_tells_samples_apart():
    x, y, truth = mean_shift(shift=1.5, n=2000)
    assert MeanDifference().fit(x, y, task="binary").directions["yes"] @ truth > 0.9
    assert abs(LAT().fit(x, y, task="binary").directions["yes"] @ truth) < 0.7


def test_one_direction_a_class():
    x, y, truth = classes()
    fitted = LAT().fit(x, y, task="multiclass")
    for k, found in enumerate(fitted.directions.values()):
        wanted = truth[k] - (truth.sum(dim=0) - truth[k]) / 5
        assert found @ wanted / wanted.norm() > 0.85
    assert fitted.score > 0.8


def test_sides_that_coincide_are_left_out():
    x, y, groups, truth = pairs(n=20, noise=0.0)
    x[1] = x[0]
    assert LAT().fit(x, y, task="binary", groups=groups).directions["yes"] @ truth > 0.999


def test_another_seed_draws_other_pairs():
    x, y, _ = mean_shift(n=100, d=16)
    one, two = (LAT(seed=seed).fit(x, y, task="binary").directions["yes"] for seed in (0, 1))
    assert not torch.equal(one, two)


def test_values_have_no_sides():
    x, _, _ = mean_shift(n=60, d=8)
    with pytest.raises(ProbeError, match="takes the task 'binary' or 'multiclass'"):
        LAT().fit(x, torch.arange(60.0), task="regression")
