import pytest
import torch

from mmsteer.errors import ProbeError
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import encode


def _parts(split):
    return split.train, split.validation, split.test


def test_parts_cover_everything_once_in_70_15_15():
    split = split_by_source(encode(torch.arange(200) % 2, "binary"), None, seed=0)
    assert sorted(torch.cat(_parts(split)).tolist()) == list(range(200))
    assert [len(part) for part in _parts(split)] == [140, 30, 30]


@pytest.mark.parametrize("seed", range(5))
def test_no_source_is_on_two_sides(seed):
    y = torch.arange(240) % 4
    groups = [f"instrument {k // 4 % 20}" for k in range(240)]
    split = split_by_source(encode(y, "multiclass"), groups, seed)
    sources = [{groups[row] for row in part.tolist()} for part in _parts(split)]
    assert not (sources[0] & sources[1])
    assert not (sources[0] & sources[2])
    assert not (sources[1] & sources[2])
    assert [len(part) / 240 for part in _parts(split)] == pytest.approx([0.7, 0.15, 0.15], abs=0.05)
    for part in _parts(split):
        assert set(y[part].tolist()) == {0, 1, 2, 3}


def test_sources_of_one_class_each_reach_every_part():
    y = [name for name in "abc" for _ in range(50)]
    groups = [f"{name}{k % 5}" for k, name in enumerate(y)]
    split = split_by_source(encode(y, "multiclass"), groups, seed=3)
    for part in _parts(split):
        assert {y[row] for row in part.tolist()} == set("abc")


def test_the_seed_decides():
    targets = encode(torch.arange(100) % 2, "binary")
    one, same, other = (split_by_source(targets, None, seed) for seed in (1, 1, 2))
    assert torch.equal(one.train, same.train)
    assert not torch.equal(one.train, other.train)


def test_five_samples_a_class_suffice_and_four_do_not():
    split_by_source(encode(torch.arange(10) % 2, "binary"), None, seed=0)
    with pytest.raises(ProbeError, match=r"test part has no sample of no, yes \(8 samples from 8 sources"):
        split_by_source(encode(torch.arange(8) % 2, "binary"), None, seed=0)


def test_groups_must_name_every_sample():
    with pytest.raises(ProbeError, match="3 sources for 10 samples"):
        split_by_source(encode(torch.arange(10) % 2, "binary"), ["a", "b", "c"], seed=0)


def test_values_need_to_differ_in_every_part():
    values = torch.zeros(40)
    values[0] = 1
    with pytest.raises(ProbeError, match="one value only"):
        split_by_source(encode(values, "regression"), None, seed=0)
