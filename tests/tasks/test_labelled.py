"""Labels that say nothing about their samples, for controls."""

from collections import Counter

from mmsteer.tasks import Labelled
from mmsteer.types import Sample


def labelled(labels, groups):
    return Labelled(tuple(Sample(str(place), "a") for place in range(len(labels))), tuple(labels), tuple(groups))


def test_the_sides_of_a_pair_exchange_their_labels():
    data = labelled("yn" * 40, [str(place // 2) for place in range(80)])
    found = data.shuffled(0)
    pairs = [found.labels[place : place + 2] for place in range(0, 80, 2)]
    assert {tuple(sorted(pair)) for pair in pairs} == {("n", "y")}
    flipped = sum(pair == ("n", "y") for pair in pairs)
    assert 10 < flipped < 30
    assert found.labels == data.shuffled(0).labels != data.shuffled(1).labels


def test_sources_of_one_label_exchange_theirs_whole():
    data = labelled("yyynnn" * 10, [str(place // 3) for place in range(60)])
    found = data.shuffled(0)
    triples = [found.labels[place : place + 3] for place in range(0, 60, 3)]
    assert all(len(set(triple)) == 1 for triple in triples)
    assert Counter(found.labels) == Counter(data.labels)
    assert found.labels != data.labels
