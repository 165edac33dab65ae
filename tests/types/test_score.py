"""Scores with confidence intervals."""

import json
import math

import numpy as np
import pytest

from mmsteer.errors import EvalError
from mmsteer.types import mean_score, paired_score


def test_missing_answers_are_counted_and_not_guessed():
    score = mean_score([1.0, 0.0, None, None])
    assert (score.value, score.n, score.unscored) == (0.5, 2, 2)


def test_nothing_scored_is_no_number():
    score = mean_score([None, None])
    assert (score.value, score.low, score.high, score.n, score.unscored) == (None, None, None, 0, 2)
    assert json.loads(json.dumps(score.to_json(), allow_nan=False))["value"] is None
    assert str(score) == "unscored (2)"


def test_intervals_cover_the_truth_as_often_as_they_say():
    """300 samples of 60 coin throws: a 90 % interval misses 10 % of the time, here within 4 sigma."""
    rng = np.random.default_rng(0)
    misses = 0
    for draw in range(300):
        score = mean_score(list(rng.random(60) < 0.3), level=0.9, draws=400, seed=draw)
        misses += not score.low <= 0.3 <= score.high
    assert abs(misses / 300 - 0.1) < 4 * math.sqrt(0.1 * 0.9 / 300)


def test_hits_without_a_miss_are_not_certain():
    """Wilson by hand: n/n has the lower end n / (n + z²)."""
    score = mean_score([1.0] * 24)
    assert score.low == pytest.approx(24 / (24 + 1.959964**2), abs=1e-6)
    assert score.high == 1.0
    assert mean_score([0.0] * 24).high == pytest.approx(1 - score.low)


def test_a_paired_change_is_surer_than_two_means():
    rng = np.random.default_rng(1)
    before = rng.normal(size=50)
    after = before + 0.1 + 0.01 * rng.normal(size=50)
    change = paired_score(list(after), list(before))
    assert change.low > 0.09
    assert change.high < 0.11
    assert paired_score([1.0, None], [0.0, 0.0]).unscored == 1


def test_what_is_no_number_is_refused():
    with pytest.raises(EvalError, match="not finite"):
        mean_score([1.0, math.nan])
    with pytest.raises(EvalError, match="differ in length"):
        paired_score([1.0], [1.0, 2.0])


def test_groups_are_resampled_whole():
    # Ten groups of twelve equal values say as much as ten values, not as a hundred and twenty.
    rng = np.random.default_rng(3)
    draws = rng.normal(size=10)
    alone = mean_score(list(draws))
    pooled = mean_score(list(np.repeat(draws, 12)), groups=list(np.repeat(np.arange(10), 12)))
    assert (pooled.value, pooled.n) == (pytest.approx(alone.value), 120)
    assert (pooled.low, pooled.high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    blind = mean_score(list(np.repeat(draws, 12)))
    assert blind.high - blind.low < 0.5 * (pooled.high - pooled.low)


def test_groups_of_hits_keep_a_width():
    every = mean_score([1.0] * 40, groups=[0, 1, 2, 3] * 10)
    assert (every.value, every.n) == (1.0, 40)
    assert every.low == pytest.approx(mean_score([1.0] * 4).low)


def test_a_group_without_answers_is_left_out():
    score = mean_score([0.2, None, 0.4, None], groups=["a", "b", "a", "b"])
    assert (score.value, score.n, score.unscored) == (pytest.approx(0.3), 2, 2)


def test_gains_and_losses_of_one_size_have_intervals_of_one_size():
    gained = paired_score([1.0] * 3 + [0.0] * 21, [0.0] * 24)
    lost = paired_score([0.0] * 24, [1.0] * 3 + [0.0] * 21)
    assert (lost.value, lost.low, lost.high) == (-gained.value, -gained.high, -gained.low)
    better, worse = paired_score([1.0] * 24, [0.0] * 24), paired_score([0.0] * 24, [1.0] * 24)
    assert (worse.low, worse.high) == (-better.high, -better.low)


def test_no_change_of_a_count_leaves_nothing_to_one_side():
    same = paired_score([17.0, 12.0, 9.0], [17.0, 12.0, 9.0])
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_one_sample_or_one_group_has_no_interval():
    for score in (mean_score([0.37]), mean_score([0.2, 0.4, 0.51], groups=["a"] * 3), paired_score([1.0], [0.63])):
        assert (score.value, score.low, score.high) == (pytest.approx(0.37), None, None)
        assert str(score) == "0.370 (no interval)"
    assert mean_score([1.0]).low > 0  # Wilson's: one hit says something of the share
