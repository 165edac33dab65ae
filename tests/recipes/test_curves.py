"""Strength over the steps of an output, as reports show it."""

from types import SimpleNamespace

import pytest
import torch

from mmsteer.recipes.curves import strength_curves
from mmsteer.schedules import Bernoulli, Timeline
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Direction, Site, SiteStats

SITES = [Site("text", 1), Site("text", 2, "mlp"), Site("text", 2)]


def test_a_gate_of_each_layer_is_shown_as_the_mean_over_the_sites():
    gate = Bernoulli(0.5, 7, "layer")
    vectors, stats = dict.fromkeys(SITES, torch.eye(3)[0]), dict.fromkeys(SITES, SiteStats(0.9, 0, 1, 1.0))
    item = Attribute(Direction("note:C", vectors, stats, "m"), 0.6, gate)
    (found,) = strength_curves(Steering((item,)), SimpleNamespace(rate=None), 40)["attributes"]
    _, first, second = gate.values(Timeline(40, layers=range(3)))
    assert found["strength"] == pytest.approx(list(0.6 * (first + 2 * second) / 3), abs=1e-6)
