"""Which conditions may share their random controls."""

from dataclasses import replace

import pytest
import torch

from mmsteer.recipes.controls import dose
from mmsteer.steering import Attribute, Gate, Steering
from mmsteer.types import Direction, Feature, Site, SiteStats

SITE = Site("text", 1)
STATS = SiteStats(0.9, 0.0, 1.0, 10.0, length=2.0)


def direction(name="a", at=0, stats=STATS, **more):
    vector = torch.nn.functional.one_hot(torch.tensor(at), 4).float()
    return Direction(name, {SITE: vector}, {SITE: stats}, "m", **more)


OTHER = direction("b", 1, replace(STATS, score=0.5, spread=3.0, length=4.0))


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        ({}, True),
        ({"unit": "token"}, True),
        ({"operator": "clamp"}, True),
        ({"unit": "std"}, False),
        ({"unit": "trained"}, False),
        ({"weights": "linear"}, False),
    ],
)
def test_directions_of_one_strength_share_a_control_where_their_unit_is_as_long(options, shared):
    mine, its = (Steering((Attribute(one, 0.5, **options),)) for one in (direction(), OTHER))
    assert (dose(mine) == dose(its)) is shared


def test_gates_and_features_that_read_something_else_have_controls_of_their_own():
    gates = [Gate(direction("g", at)) for at in (2, 3)]
    assert len({dose(Steering((Attribute(direction(), 0.5, gate=gate),))) for gate in gates}) == 2
    features = [direction(at=at, features={SITE: Feature(torch.ones(4) * at, 0.0, 0.0)}) for at in (1, 2)]
    assert len({dose(Steering((Attribute(one, 0.5, operator="clamp"),))) for one in features}) == 2
    assert len({dose(Steering((Attribute(one, 0.5),))) for one in features}) == 1
