"""Labels that say nothing about their samples, for controls."""

from collections import Counter

import pytest
import torch

from mmsteer.probes import MeanDifference
from mmsteer.tasks import Labelled
from mmsteer.types import Sample


def labelled(labels, groups):
    return Labelled(tuple(Sample(str(place), "a") for place in range(len(labels))), tuple(labels), tuple(groups))


def pairs(count):
    return labelled("yn" * count, [str(place // 2) for place in range(2 * count)])


@pytest.mark.parametrize("count", [4, 7, 40])
def test_the_sides_of_half_of_the_pairs_exchange_their_labels(count):
    data = pairs(count)
    for seed in range(8):
        found = data.shuffled(seed)
        sides = [found.labels[place : place + 2] for place in range(0, 2 * count, 2)]
        assert {tuple(sorted(pair)) for pair in sides} == {("n", "y")}
        assert abs(sides.count(("n", "y")) - count / 2) <= 0.5
    assert data.shuffled(0).labels == data.shuffled(0).labels
    assert len({data.shuffled(seed).labels for seed in range(8)}) > 1


@pytest.mark.parametrize("seed", range(8))
def test_a_direction_of_shuffled_pairs_has_nothing_of_the_direction_itself(seed):
    # 16 pairs, of which 14 are fitted: what tells their sides apart is a hundred times what else differs.
    data, noise = pairs(16), torch.randn(32, 16, generator=torch.Generator().manual_seed(seed))
    states = noise + 100 * torch.eye(16)[0] * torch.tensor([1.0, -1.0] * 16)[:, None]
    probe = MeanDifference(seed=seed)
    true, shuffled = (
        probe.fit(states, labels, task="multiclass", groups=data.groups).directions["n"]
        for labels in (data.labels, data.shuffled(0, split=seed).labels)
    )
    assert abs(float(true @ shuffled)) < 0.7


@pytest.mark.parametrize("count", [3, 6])
def test_each_side_of_larger_sources_takes_each_label_as_often(count):
    data = labelled("abc" * count, [str(place // 3) for place in range(3 * count)])
    found = data.shuffled(0).labels
    for side in range(3):
        assert Counter(found[side::3]) == dict.fromkeys("abc", count // 3)


def test_sources_of_one_label_exchange_theirs_whole():
    data = labelled("yyynnn" * 10, [str(place // 3) for place in range(60)])
    found = data.shuffled(0)
    triples = [found.labels[place : place + 3] for place in range(0, 60, 3)]
    assert all(len(set(triple)) == 1 for triple in triples)
    assert Counter(found.labels) == Counter(data.labels)
    assert found.labels != data.labels


@pytest.mark.parametrize("seed", range(8))
def test_half_of_the_sources_of_a_class_keep_their_label(seed):
    data = labelled("y" * 20 + "n" * 20, map(str, range(40)))
    assert data.shuffled(seed).labels[:20].count("y") == 10


def test_values_are_drawn_in_any_order():
    data = labelled(range(40), map(str, range(40)))
    orders = [data.shuffled(seed).labels for seed in range(8)]
    kept = torch.tensor(orders).float()
    assert sorted(orders[0]) == list(range(40))
    assert float(torch.corrcoef(torch.cat([torch.arange(40.0)[None], kept]))[0, 1:].abs().mean()) < 0.3
