"""The digest of a steering: every change that its numbers depend on changes it, and no other does."""

from dataclasses import replace

import pytest
import torch

from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Gate, Steering
from mmsteer.types import Direction, Feature, LowRank, Positions, Site, SiteStats, content_digest
from mmsteer.types.sketch import Sketch

SITES = [Site("text", 1), Site("text", 2)]
ALONG, ACROSS = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
STATS = SiteStats(0.9, 0.0, 1.0, 10.0, length=2.0)
NUMBERS = ("score", "mean", "spread", "residual_norm", "length")


def direction(name="a", vector=ALONG, stats=STATS, **more):
    return Direction(name, dict.fromkeys(SITES, vector), dict.fromkeys(SITES, stats), "m", **more)


def feature(*changed):
    return direction(features=dict.fromkeys(SITES, Feature(*changed)))


def edit(read=1.0, bias=0.0, write=1.0):
    parts = torch.full((1, 2), read), torch.full((1,), bias), torch.full((1, 2), write)
    return direction(edits=dict.fromkeys(SITES, LowRank(*parts)))


ONE = Attribute(direction(), 0.5, gate=Gate(direction("b"), 1.0))
DIRECTIONS = (
    direction(),
    direction("other"),
    direction(vector=ACROSS),
    direction(vector=ALONG.expand(2, 2)),
    replace(direction(), model="another"),
    *(direction(stats=replace(STATS, **{name: None})) for name in ("score", "length")),
    *(direction(stats=replace(STATS, **{name: 3.0})) for name in NUMBERS),
    feature(ALONG, 0.0, 0.0),
    feature(ACROSS, 0.0, 0.0),
    feature(ALONG, 1.0, 0.0),
    feature(ALONG, 0.0, 1.0),
    edit(),
    edit(read=2.0),
    edit(bias=2.0),
    edit(write=2.0),
)
STEERINGS = (
    Steering(),
    Steering((ONE,)),
    Steering((ONE, ONE)),
    Steering((ONE,), compose="gram_schmidt"),
    Steering((ONE,), budget=0.1),
    Steering((replace(ONE, direction=direction(vector=ACROSS)),)),
    Steering((replace(ONE, strength=0.50000001),)),
    Steering((replace(ONE, schedule=parse_schedule("fade-in 0..4steps")),)),
    Steering((replace(ONE, positions=Positions("generated")),)),
    Steering((replace(ONE, sites="text.1"),)),
    Steering((replace(ONE, gate=None),)),
    Steering((replace(ONE, gate=Gate(direction("b", ACROSS), 1.0)),)),
    Steering((replace(ONE, gate=Gate(direction("b"), 2.0)),)),
)


@pytest.mark.parametrize("values", [DIRECTIONS, STEERINGS])
def test_every_change_of_what_is_pushed_is_another_digest(values):
    assert len({content_digest(one) for one in values}) == len(values)


@pytest.mark.parametrize(
    "changed",
    [
        {"provenance": {"probe": "rfm"}},
        {"compatibility": "dimension"},
        {"sketch": Sketch("a", torch.ones(1))},
        {"vectors": dict.fromkeys(reversed(SITES), ALONG.clone())},
        {"stats": dict.fromkeys(SITES, SiteStats(0.9, 0, 1, 10, length=2))},
    ],
)
def test_where_a_direction_came_from_is_not_what_it_is(changed):
    assert content_digest(replace(direction(), **changed)) == content_digest(direction())


def test_parts_do_not_run_into_one_another():
    lists = (["a", "b"], ["ab"], [["a"], "b"], ["a", ["b"]], [], [[]])
    values = (*lists, {"a": "b"}, "a", 1.0, "1.0", None, torch.ones(1))
    assert len({content_digest(one) for one in values}) == len(values)
