"""The line that says what to steer."""

import math
import re
from pathlib import Path

import pytest
import torch

from mmsteer.errors import MmsteerError, SteeringError
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Steering, parse_attribute
from mmsteer.steering.attribute import UNITS
from mmsteer.types import Direction, Positions, Site, SiteStats

SITES = [Site("decoder", layer) for layer in range(4)]


def named(name):
    vector = torch.tensor([1.0, 0.0])
    return Direction(name, dict.fromkeys(SITES, vector), dict.fromkeys(SITES, SiteStats(0.9, 0, 1, 1)), "m")


KNOWN = {name: named(name) for name in ("note:C", "note:C#", "register:high")}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("note:C 0.1", {"strength": 0.1}),
        ("note:C# -8%", {"strength": -0.08}),
        ("note:C 3.5abs", {"strength": 3.5, "unit": "absolute"}),
        ("note:C 1e-2 fade-in 0..4s", {"strength": 0.01, "schedule": parse_schedule("fade-in 0..4s")}),
        (
            "register:high 0.2 linear(0s..2s, 0, 1) at generated - first on decoder.1-2 weights top(3) by rotate "
            "branch null",
            {
                "strength": 0.2,
                "schedule": parse_schedule("linear(0s..2s, 0, 1)"),
                "positions": Positions("generated - first"),
                "sites": "decoder.1-2",
                "weights": "top(3)",
                "operator": "rotate",
                "branch": "null",
            },
        ),
    ],
)
def test_lines_are_read_and_print_back(line, expected):
    found = parse_attribute(line, KNOWN)
    for field, value in expected.items():
        assert getattr(found, field) == pytest.approx(value) if field == "strength" else getattr(found, field) == value
    assert parse_attribute(str(found), KNOWN) == found


@pytest.mark.parametrize("strength", [12.3456789, 1 / 3, 0.1 + 0.2, -1e-7, 1e22, 2.0])
def test_a_strength_prints_to_its_last_digit(strength):
    item = Attribute(KNOWN["note:C"], strength)
    assert parse_attribute(str(item), KNOWN).strength == strength


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "cannot read"),
        ("note:C", "cannot read 'note:C'; write NAME STRENGTH"),
        ("note:H 0.1", "no direction 'note:H'; choose from note:C, note:C#, register:high"),
        ("note:C lots", "cannot read"),
        ("note:C 1.2.3", "'1.2.3' is not a number"),
        ("note:C 0.1 at image at text", "says at twice"),
        ("note:C 0.1 by push", "no operator 'push'; choose from add, rotate"),
        ("note:C 0.1 branch left", "no branch 'left'"),
        ("note:C 0.1 wobble(3s)", "wobble"),
        ("note:C 0.1 at nowhere", "no term 'nowhere'"),
        ("note:C 0.1 weights many", "no layer weights 'many'"),
    ],
)
def test_lines_that_cannot_be_read(line, message):
    with pytest.raises(MmsteerError, match=message):
        parse_attribute(line, KNOWN)


def test_fields_are_checked_in_python_too():
    with pytest.raises(SteeringError, match="not a finite number"):
        Attribute(KNOWN["note:C"], math.nan)
    with pytest.raises(SteeringError, match="no unit 'percent'"):
        Attribute(KNOWN["note:C"], 1.0, unit="percent")
    with pytest.raises(SteeringError, match="no compose 'mix'"):
        Steering((), "mix")
    with pytest.raises(SteeringError, match="not above zero"):
        Steering((), budget=0.0)


def test_scaling_scales_every_strength():
    steering = Steering((Attribute(KNOWN["note:C"], 0.2), Attribute(KNOWN["note:C#"], -0.4))).scaled(0.5)
    assert [item.strength for item in steering.attributes] == [0.1, -0.2]


def test_the_guide_has_every_unit():
    guide = (Path(__file__).parents[2] / "docs/steering.md").read_text()
    (row,) = [line for line in guide.splitlines() if line.startswith("| STRENGTH |")]
    assert set(re.findall(r"`[\d.]+([a-z%]*)`", row)) == set(UNITS)
