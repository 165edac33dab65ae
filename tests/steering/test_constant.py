"""Steerings whose norms were never measured, and what a steering adds at each site."""

from dataclasses import replace

import pytest
import torch

from mmsteer.api import parse_steering
from mmsteer.errors import SteeringError
from mmsteer.schedules import Constant
from mmsteer.steering import Attribute, Steering, constant_push, totals
from mmsteer.types import UNKNOWN, Direction, Site, SiteStats

SITES = (Site("text", 1), Site("text", 2))


def direction(name="a", norm=0.0, length=5.0):
    units = dict(zip(SITES, torch.eye(4)[:2], strict=True))
    return Direction(name, units, dict.fromkeys(SITES, SiteStats(0.9, 0.0, 1.0, norm, None, length)), UNKNOWN)


@pytest.mark.parametrize("line", ["a 0.1", "a 10%", "a 0.1total", "a 2 by clamp", "a 0.1 by rotate"])
def test_a_fraction_of_what_was_not_measured_is_refused(line):
    with pytest.raises(SteeringError, match="was not measured"):
        parse_steering(line, {"a": direction()})
    parse_steering(line, {"a": direction(norm=3.0)})


@pytest.mark.parametrize("line", ["a 0", "a 1trained", "a 3abs", "a 0.1token", "a 1 by project_out", "a 3abs by clamp"])
def test_other_units_need_no_norm(line):
    parse_steering(line, {"a": direction()})


def test_a_budget_is_a_fraction_of_the_norm():
    item = Attribute(direction(), 1.0, unit="trained")
    with pytest.raises(SteeringError, match="no budget"):
        Steering((item,), budget=0.2)
    Steering((replace(item, direction=direction(norm=3.0)),), budget=0.2)


def test_pushes_of_unknown_scale_have_no_total():
    items = {norm: Attribute(direction(norm=norm), 1.0, unit="trained") for norm in (0.0, 50.0)}
    assert totals([Steering((items[0.0],))]) == ()
    (total,) = totals([Steering((items[50.0],))])
    assert total.ratio == pytest.approx(2**0.5 * 5 / 50)


def test_the_sum_at_each_site():
    known = {"a": direction(norm=10.0), "b": direction("b", norm=2.0, length=1.0)}
    steering = parse_steering("a 0.5 on text.1; b -3trained; a 2abs constant(0.5)", known)
    found = constant_push(steering)
    assert list(found) == list(SITES)
    torch.testing.assert_close(found[SITES[0]], (5 - 3 + 1) * torch.eye(4)[0])
    torch.testing.assert_close(found[SITES[1]], (-3 + 1) * torch.eye(4)[1])
    assert Constant(0.5) == steering.attributes[2].schedule


def test_what_is_no_constant_vector():
    with pytest.raises(SteeringError, match="is empty"):
        constant_push(Steering())
    item = Attribute(direction(norm=3.0), 1.0)
    with pytest.raises(SteeringError, match="only sums"):
        constant_push(Steering((item, item), compose="whiten"))
    with pytest.raises(SteeringError, match="a budget"):
        constant_push(Steering((item,), budget=0.1))
    with pytest.raises(SteeringError, match="branch"):
        constant_push(Steering((replace(item, branch="null"),)))
