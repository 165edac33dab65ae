from collections import Counter

import pytest

from mmsteer.data.syntheory import catalogue
from mmsteer.errors import DataError


def test_where_keeps_what_matches():
    found = catalogue("chords").where(root=("C", "G"), chord_type="minor", program=0)
    assert len(found) == 6  # two roots in three inversions
    assert {item.labels["root"] for item in found} == {"C", "G"}
    assert found.values("inversion") == ("5", "6", "64")


def test_where_narrows_what_is_left():
    twice = catalogue("notes").where(root="C").where(octave=range(3, 6))
    assert len(twice) == 3 * 92
    with pytest.raises(DataError, match="choose from \\['C'\\]"):
        twice.where(root="D")


@pytest.mark.parametrize("labels", [{"colour": "red"}, {"root": "H"}, {"root": ()}, {"root": "C", "midi": 1}])
def test_where_that_finds_nothing_is_refused(labels):
    with pytest.raises(DataError, match="notes"):
        catalogue("notes").where(**labels)


def test_sample_is_balanced_seeded_and_without_repeats():
    drawn = catalogue("scales").sample(5, by="mode", seed=1)
    assert set(Counter(item.labels["mode"] for item in drawn).values()) == {5}
    assert len({item.index for item in drawn}) == len(drawn) == 35
    assert drawn == catalogue("scales").sample(5, by="mode", seed=1)
    assert drawn != catalogue("scales").sample(5, by="mode", seed=2)


@pytest.mark.parametrize("count", [0, 26])
def test_sample_larger_than_a_class_is_refused(count):
    with pytest.raises(DataError, match="1 to 25"):
        catalogue("tempos").sample(count, by="bpm", seed=0)


@pytest.mark.parametrize("name", ["notes", "time_signatures"])
def test_splits_share_no_sound_source(name):
    parts = catalogue(name).split(0.7, 0.15, 0.15, seed=3)
    groups = [{item.group for item in part} for part in parts]
    assert sum(map(len, parts)) == len(catalogue(name))
    assert len(set.union(*groups)) == sum(map(len, groups))
    assert all(groups)
    assert parts == catalogue(name).split(0.7, 0.15, 0.15, seed=3)
    assert parts != catalogue(name).split(0.7, 0.15, 0.15, seed=4)


def test_programs_are_dealt_by_largest_remainder():
    # 92 programs: 64.4, 13.8 and 13.8.
    parts = catalogue("chords").split(0.7, 0.15, 0.15, seed=0)
    assert [len(part.values("program")) for part in parts] == [64, 14, 14]


def test_both_woodblocks_are_one_source():
    assert {item.group for item in catalogue("tempos")[:25]} == {
        "program:drum_kit",
        "program:115",
        "program:116",
        "program:118",
    }


@pytest.mark.parametrize("fractions", [(0.7, 0.2), (1.0, 0.0), (0.2,) * 5, ()])
def test_impossible_splits_are_refused(fractions):
    with pytest.raises(DataError, match="4 sound sources"):
        catalogue("tempos").split(*fractions, seed=0)
