"""Intervals of ratios of sums."""

import numpy as np
import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.bootstrap import bootstrap, ratio, ratio_interval


def test_a_ratio_of_sums_weighs_by_the_denominator():
    score = ratio_interval([1, 0], [1, 9])
    assert score.value == 0.1  # the mean of the two ratios would be 0.5
    assert score.n == 2


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Images of 6 questions that stand and fall together: an interval over questions would be far too narrow."""
    rng, hits = np.random.default_rng(0), 0
    for seed in range(200):
        chance = np.where(rng.random(100) < 0.7, 0.95, 0.2)  # truth: 0.7 * 0.95 + 0.3 * 0.2 = 0.725
        score = ratio_interval(rng.binomial(6, chance), np.full(100, 6), draws=400, seed=seed)
        hits += score.low <= 0.725 <= score.high
    assert 180 <= hits <= 200


def test_the_interval_is_as_wide_as_the_closed_form():
    """The standard error of a mean of n values is their spread over the root of n."""
    values = np.random.default_rng(1).normal(5, 2, 400)
    score = ratio_interval(values, np.ones(400))
    assert score.high - score.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)


def test_all_hits_keep_an_interval_with_width():
    score = ratio_interval([6] * 100, [6] * 100)
    assert (score.value, score.high) == (1.0, 1.0)
    assert score.low == pytest.approx(100 / (100 + 1.959964**2))  # Wilson's lower end at 100 of 100


def test_a_sum_of_zero_by_cancellation_is_not_certain():
    score = ratio_interval([1, -1] * 50, [1] * 100)
    assert score.value == 0.0
    assert score.low < -0.1


def test_what_is_undefined_is_none():
    score = ratio_interval([0, 0], [0, 0], unscored=3)
    assert (score.value, score.low, score.n, score.unscored) == (None, None, 0, 3)
    assert ratio_interval([], []).value is None


def test_draws_without_a_denominator_are_left_out():
    score = ratio_interval([1, 0, 1], [2, 0, 2])
    assert (score.value, score.low, score.high) == (0.5, 0.5, 0.5)


def test_one_image_that_counts_has_no_interval():
    score = ratio_interval([1, 0], [2, 0])
    assert (score.value, score.low, score.high, score.n) == (0.5, None, None, 2)


def test_several_runs_have_the_mean_of_their_ratios():
    score = ratio_interval([[1, 0], [0, 0]], [[1, 1], [1, 0]])
    assert score.value == 0.25  # (1/2 + 0/1) / 2
    every = ratio_interval([[1, 1]] * 24, [[1, 1]] * 24)
    assert (every.value, every.low) == (1.0, pytest.approx(24 / (24 + 1.959964**2)))  # Wilson's, for 24 images


def test_any_statistic_of_sums_takes_the_same_way():
    def f1(sums):
        return ratio(2 * sums[..., 0], 2 * sums[..., 0] + sums[..., 1] + sums[..., 2])

    score = bootstrap(f1, [[1, 1, 0], [2, 0, 1], [0, 1, 1]])
    assert score.value == 0.6
    assert score == bootstrap(f1, [[1, 1, 0], [2, 0, 1], [0, 1, 1]])
    assert score.low < 0.6 < score.high


def test_a_broken_count_is_refused():
    with pytest.raises(EvalError, match="not finite"):
        ratio_interval([np.nan], [1])
