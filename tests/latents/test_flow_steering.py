"""Layer schedules by hand, and a flow that steers all its layers."""

import math

import pytest
import torch

from mmsteer.errors import SteeringError
from mmsteer.latents.flow_steering import activate, constant, deactivate, exponential, flow_directions, linear
from mmsteer.sae import SparseDictionary, usage
from mmsteer.sae.flow import feature_flow
from mmsteer.steering import Steering, steer
from mmsteer.types import Site

SITES = [Site("decoder", 1), Site("decoder", 2), Site("decoder", 3, "mlp"), Site("decoder", 3)]


def test_layer_schedules_by_hand():
    assert [constant(4.0)(layer, 2, 6) for layer in (2, 4, 6)] == [4, 4, 4]
    assert [linear(5.0)(layer, 2, 6) for layer in (2, 4, 6)] == [5, 3, 1]
    assert linear(5.0)(3, 3, 3) == 5
    assert [exponential(8.0)(layer, 2, 22) for layer in (2, 22)] == pytest.approx(
        [8 * math.exp(-0.1), 8 * math.exp(-1.1)]
    )


def made(adapter):
    """The same decoder at four sites: feature 0 flows through all."""
    width = adapter.widths[SITES[0]]
    rows, zero = torch.eye(width), torch.zeros(width)
    dictionaries = [SparseDictionary(rows, zero, rows, zero, zero, site=s, model=adapter.fingerprint) for s in SITES]
    used = {one.site: usage(one, [torch.ones(2, width)]) for one in dictionaries}
    flow = feature_flow(dictionaries, SITES[1], 0)
    return flow, dictionaries, used


def test_a_flow_becomes_attributes(musicgen):
    flow, dictionaries, used = made(musicgen)
    directions = flow_directions(flow, dictionaries, used)
    added = activate(directions, linear(3.0), unit="absolute")
    assert [(str(item.written[0]), item.strength, item.operator) for item in added] == [
        ("decoder.1", 3.0, "add"),
        ("decoder.2", 2.0, "add"),
        ("decoder.3.mlp", 1.0, "add"),
        ("decoder.3", 1.0, "add"),
    ]
    assert added[0].direction.name == "flow:decoder.1:0"
    removed = deactivate(directions, constant(-1.0))
    assert {(item.strength, item.operator) for item in removed} == {(2.0, "project_out")}


def test_every_layer_of_the_flow_is_steered(musicgen):
    flow, dictionaries, used = made(musicgen)
    directions = flow_directions(flow, dictionaries, used)
    plain = musicgen.canary()
    attributes = activate(directions, constant(2.0), unit="absolute")
    with steer(musicgen, Steering(attributes)) as session:
        assert not torch.equal(musicgen.canary(), plain)
    assert set(session.receipt().sites) == {str(site) for site in SITES}


def test_a_flow_without_all_its_parts_is_refused(musicgen):
    flow, dictionaries, used = made(musicgen)
    with pytest.raises(SteeringError, match=r"passes decoder\.3\.mlp, of which no"):
        flow_directions(flow, [one for one in dictionaries if one.site.point == "block"], used)
    with pytest.raises(SteeringError, match=r"passes decoder\.1, of which no"):
        flow_directions(flow, dictionaries, {})
    with pytest.raises(SteeringError, match="steers nothing"):
        activate({}, constant(1.0))
