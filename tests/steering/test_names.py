"""Names of directions that are more than one word."""

import pytest

import mmsteer
from mmsteer.errors import DirectionError, SteeringError
from mmsteer.steering import Steering, parse_attribute
from tests.steering.test_attribute import named

NAMES = ("object:traffic light", "a;b", "cat at home when 3", "note:C")
KNOWN = {name: named(name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_prints_and_reads_back(name):
    line = f'"{name}" 0.1 at generated when "{name}" > 1.5'
    found = parse_attribute(line, KNOWN)
    assert found.direction is KNOWN[name]
    assert found.gate.direction is KNOWN[name]
    assert (found.strength, str(found.positions)) == (0.1, "generated")
    again = parse_attribute(str(found), KNOWN)
    assert (again.direction, str(again)) == (found.direction, str(found))


def test_a_text_of_several_lines_is_cut_outside_of_quotes(monkeypatch):
    seen = []
    monkeypatch.setattr("mmsteer.api._steer", lambda _, steering: seen.append(steering))
    mmsteer.steer(None, '"a;b" 0.1; note:C 0.2', KNOWN)
    assert [item.direction.name for item in seen[0].attributes] == ["a;b", "note:C"]
    assert isinstance(seen[0], Steering)


def test_a_quoted_name_that_is_not_known():
    with pytest.raises(SteeringError, match="no direction 'object:traffic␣sign'"):
        parse_attribute('"object:traffic sign" 0.1', KNOWN)


@pytest.mark.parametrize("name", ["", "  ", 'a"b', "a\nb"])
def test_names_that_no_line_could_write(name):
    with pytest.raises(DirectionError, match="cannot be the name of a direction"):
        named(name)
