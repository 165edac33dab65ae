"""Copies averaged part by part lead where all samples lead."""

import pytest
import torch

from mmsteer.errors import ProbeError
from mmsteer.probes import VTI, average_sides, sweep
from mmsteer.types import Activations, LogHistogram, Site
from tests.probes.toys import pairs

SITES = (Site("vision", 0), Site("vision", 1))


def recorded(tokens=0):
    x, y, groups, _ = pairs(n=24, copies=5, tokens=tokens)
    return x, y.int().tolist(), groups


def part(x, rows, name="all"):
    values = {SITES[0]: x[rows], SITES[1]: 3 * x[rows]}
    norms = {site: LogHistogram.of(value.norm(dim=-1)) for site, value in values.items()}
    source = {"model": "abc", "data": name, "pool": "tokens"}
    return Activations(values, norms, tuple(map(str, rows)), source)


def parts(x, labels, groups, size):
    """Four pairs of 1 + 5 samples each, or as many as asked for."""
    for start in range(0, len(x), size):
        rows = list(range(start, start + size))
        yield part(x, rows, f"part {start}"), [labels[row] for row in rows], [groups[row] for row in rows]


@pytest.mark.parametrize("tokens", [0, 3])
@pytest.mark.parametrize("mode", ["paper", "code"])
def test_the_direction_is_that_of_all_samples(tokens, mode):
    x, labels, groups = recorded(tokens)
    sides = average_sides(parts(x, labels, groups, 24))
    assert sides.labels == (0, 1) * 24
    assert len(set(sides.groups)) == 24
    options = {"family": "masked", "task": "binary", "progress": False}
    whole = sweep(VTI(mode), part(x, list(range(len(x)))), labels, groups=groups, **options)
    short = sweep(VTI(mode), sides.activations, sides.labels, groups=sides.groups, **options)
    for site in SITES:
        one, two = (found.directions["masked:yes"].vectors[site] for found in (whole, short))
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-3)


def test_rows_are_the_means_of_the_sides():
    x, labels, groups = recorded()
    sides = average_sides(parts(x, labels, groups, 12))
    torch.testing.assert_close(sides.activations.values[SITES[0]][2], x[6])
    torch.testing.assert_close(sides.activations.values[SITES[1]][3], 3 * x[7:12].mean(dim=0))
    assert sides.activations.ids[2:4] == ("pair 1/0", "pair 1/1")
    assert sides.activations.norms[SITES[0]] == LogHistogram.of(x.norm(dim=1))
    assert sides.activations.source["model"] == "abc"


def test_the_data_are_named_by_all_parts():
    x, labels, groups = recorded()
    names = {average_sides(parts(x, labels, groups, size)).activations.source["data"] for size in (12, 24)}
    assert len(names) == 2


def test_what_cannot_be_averaged():
    x, labels, groups = recorded()
    with pytest.raises(ProbeError, match="no recordings to average"):
        average_sides([])
    with pytest.raises(ProbeError, match="the group 'pair 0' is in two parts"):
        average_sides(parts(x, labels, groups, 3))
