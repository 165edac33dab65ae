"""How sure a sweep is: the interval and the permutation test."""

import numpy as np
import pytest
import torch

from mmsteer.probes import MeanDifference, held_out, sweep
from mmsteer.probes.held_out import _aucs, _permutation
from mmsteer.probes.metrics import auc
from mmsteer.types import Activations, LogHistogram, Site

SITES = [Site("text", layer) for layer in range(6)]


def _states(labels, seed, shift=0.0, sites=SITES):
    """Noise at every site, and at text.3 the label besides."""
    noise = torch.Generator().manual_seed(seed)
    values = {site: torch.randn(len(labels), 8, generator=noise) for site in sites}
    values[SITES[3]][:, 0] += shift * torch.tensor([float(label == "b") for label in labels])
    ids = tuple(map(str, range(len(labels))))
    norms = {site: LogHistogram.of(value.norm(dim=1)) for site, value in values.items()}
    return Activations(values, norms, ids, {"model": "m", "pool": "mean"})


def _judged(labels, groups, seed, shift=0.0):
    states = _states(labels, seed, shift)
    found = sweep(MeanDifference(), states, labels, family="f", task="multiclass", groups=groups, progress=False)
    return held_out(found, states, labels, task="multiclass", groups=groups), found


def test_a_planted_difference_is_found_and_sure():
    labels, groups = ["a", "b"] * 80, [str(row) for row in range(160)]
    held, found = _judged(labels, groups, 0, shift=4.0)
    assert held.site == SITES[3]
    assert held.rows == sum(held.sources.values()) == 24
    assert held.auc.value == pytest.approx(next(row.labels["a"] for row in found.rows if row.site == SITES[3]))
    assert held.auc.low > 0.8
    assert held.p == pytest.approx(1 / 2001)


def test_noise_is_significant_as_rarely_as_it_should_be():
    labels, groups = ["a", "b"] * 80, [str(row) for row in range(160)]
    found = [_judged(labels, groups, seed)[0] for seed in range(40)]
    assert sum(one.p < 0.05 for one in found) <= 6  # of 40 expected 2; 7 or more are less likely than 1 in 100
    # The best of six sites looks good by luck: what a table alone would show.
    assert np.mean([one.auc.value for one in found]) > 0.58


def test_pairs_are_permuted_within_and_lone_rows_among_sources():
    rng = np.random.default_rng(0)
    pairs, truth = np.repeat(np.arange(20), 2), np.eye(2)[np.tile([0, 1], 20)]
    moved = truth[_permutation(truth, pairs, rng)]
    assert not (moved == truth).all()
    assert (moved.reshape(20, 2, 2).sum(axis=1) == 1).all()
    lone = np.eye(2)[np.repeat([0, 1], 20)]
    blocks = lone[_permutation(lone, np.repeat(np.arange(20), 2), rng)]
    assert not (blocks == lone).all()
    assert (blocks[::2] == blocks[1::2]).all()
    assert blocks.sum(axis=0).tolist() == [20, 20]


def test_areas_are_those_of_the_metric():
    from scipy.stats import rankdata

    rng = np.random.default_rng(1)
    scores, truth = rng.integers(0, 5, (30, 1)).astype(float), rng.integers(0, 2, (30, 1)).astype(float)
    found = _aucs(rankdata(scores, axis=0)[None], truth[None])
    assert found.item() == pytest.approx(auc(torch.tensor(scores[:, 0]), torch.tensor(truth[:, 0])))


def test_too_few_sources_say_nothing_of_chance():
    labels, groups = ["a", "b"] * 30, [str(row) for row in range(60)]
    held, _ = _judged(labels, groups, 0, shift=4.0)
    assert held.p is held.auc.low is held.auc.high is None
    assert min(held.sources.values()) < 10


def test_rows_of_one_source_are_one_source():
    labels = ["a", "b"] * 160
    held, _ = _judged(labels, [str(row // 4) for row in range(320)], 0, shift=4.0)
    assert held.rows == 48
    assert held.sources == {"a": 12, "b": 12}
