"""How several directions share a site."""

import math

import pytest
import torch

from mmsteer.errors import SteeringError
from mmsteer.schedules import Timeline, parse_schedule
from mmsteer.steering import Attribute, Steering
from mmsteer.steering.compose import compose
from mmsteer.steering.plan import compile_plan
from mmsteer.types import Direction, Site, SiteStats

ANGLED = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])
SITE = Site("decoder", 0)


def test_gram_schmidt_by_hand():
    expected = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(compose(ANGLED, "gram_schmidt"), expected)


def test_whitening_turns_both_by_the_same_angle():
    found = compose(ANGLED, "whiten")
    torch.testing.assert_close(found @ found.T, torch.eye(2), atol=1e-6, rtol=0)
    assert float(found[0] @ ANGLED[0]) == pytest.approx(float(found[1] @ ANGLED[1]))
    turned = (math.pi / 2 - math.acos(0.6)) / 2
    assert float(found[0] @ ANGLED[0]) == pytest.approx(math.cos(turned), abs=1e-5)


def test_a_direction_that_is_absent_stays_absent():
    padded = torch.cat([ANGLED, torch.zeros(1, 3)])
    for how in ("gram_schmidt", "whiten"):
        found = compose(padded, how)
        assert not found[2].any()
        torch.testing.assert_close(found[:2], compose(ANGLED, how))


def test_parallel_directions_are_refused():
    for how in ("gram_schmidt", "whiten"):
        with pytest.raises(SteeringError, match="same direction"):
            compose(torch.tensor([[1.0, 0.0], [1.0, 1e-5]]), how)


def attribute(vector, strength, norm=1.0):
    vector = torch.tensor(vector)
    return Attribute(Direction("d", {SITE: vector}, {SITE: SiteStats(0.9, 0, 1, norm)}, "m"), strength)


def added(steering, step=0):
    plan = compile_plan([steering], [SITE], Timeline(4, 1.0), 1)
    return plan.table[0, step, 0] @ plan.vectors[0]


def test_a_budget_limits_the_sum_and_keeps_its_direction():
    pair = (attribute([1.0, 0.0], 0.3, 10.0), attribute([0.0, 1.0], 0.4, 10.0))
    torch.testing.assert_close(added(Steering(pair)), torch.tensor([3.0, 4.0]))
    torch.testing.assert_close(added(Steering(pair, budget=0.25)), torch.tensor([1.5, 2.0]))
    torch.testing.assert_close(added(Steering(pair, budget=0.6)), torch.tensor([3.0, 4.0]))


def test_a_budget_counts_a_site_where_the_gate_of_its_layer_is_open():
    """A push of 1 at norms of 1 and 10: the budget of a half is exceeded at layer 0 alone, where that is open."""
    sites, gate = [Site("decoder", 0), Site("decoder", 1)], parse_schedule("bernoulli(0.5, 7, layer)")
    stats = {site: SiteStats(0.9, 0, 1, norm) for site, norm in zip(sites, (1.0, 10.0), strict=True)}
    direction = Direction("d", dict.fromkeys(sites, torch.tensor([1.0, 0.0])), stats, "m")
    timeline = Timeline(6, layers=range(2))
    plan = compile_plan([Steering((Attribute(direction, 1.0, gate, unit="absolute"),), budget=0.5)], sites, timeline, 1)
    is_open = torch.from_numpy(gate.values(timeline)).float()
    expected = is_open * torch.where(is_open[0] > 0, 0.5, 1.0)
    assert set(expected[1].tolist()) == {0.5, 1.0}
    torch.testing.assert_close(plan.table[:, :, 0, 0], expected)


def test_composition_happens_in_the_plan():
    pair = (attribute([1.0, 0.0], 1.0), attribute([0.6, 0.8], 1.0))
    torch.testing.assert_close(added(Steering(pair)), torch.tensor([1.6, 0.8]))
    torch.testing.assert_close(added(Steering(pair, "gram_schmidt")), torch.tensor([1.0, 1.0]))


def test_many_rows_share_columns():
    one = attribute([1.0, 0.0], 1.0).direction
    rows = [Steering((Attribute(one, 0.1 * row),)) for row in range(8)]
    plan = compile_plan(rows, [SITE], Timeline(4, 1.0), 2)
    assert plan.table.shape == (1, 4, 16, 1)
    torch.testing.assert_close(plan.table[0, 0, 8:, 0], torch.arange(8) * 0.1)
