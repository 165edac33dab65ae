"""The drawing of a feature's flow."""

from xml.etree import ElementTree

import pytest

from mmsteer.report.flow import draw_flow, save_flow
from mmsteer.sae.flow import Flow, Link, Node
from mmsteer.types import Site

A, B = Node(Site("decoder", 1), 7), Node(Site("decoder", 2), 3)
C = Node(Site("decoder", 2, "mlp"), 40)


@pytest.fixture
def flow():
    links = (Link(A, B, 0.8), Link(C, B, 0.25))
    return Flow(B, {B: 1.0, A: 0.8, C: 0.25}, links, {B: "processed"})


def test_every_feature_and_link_is_drawn(flow):
    root = ElementTree.fromstring(str(draw_flow(flow)))
    assert [one.get("class") for one in root.iter("circle")].count("node") == 3
    assert [one.get("class") for one in root.iter("circle")].count("start") == 1
    widths = [float(one.get("stroke-width")) for one in root.iter("path")]
    assert widths == [3.2, 1.0]
    words = {one.text for one in root.iter("text")}
    assert {"7", "3", "40", "0.80", "0.25", "processed", "layer 1", "layer 2", "Flow of decoder.2:3"} <= words


def test_layers_go_right_and_lanes_down(flow):
    root = ElementTree.fromstring(str(draw_flow(flow)))
    dots = {one[0].text.split(",")[0]: one for one in root.iter("circle") if one.get("class") == "node"}
    x = {name: float(one.get("cx")) for name, one in dots.items()}
    y = {name: float(one.get("cy")) for name, one in dots.items()}
    assert x[str(A)] < x[str(C)] < x[str(B)]
    assert y[str(A)] == y[str(B)] < y[str(C)]


def test_titles_are_escaped(flow):
    assert "&lt;b&gt;" in draw_flow(flow, "<b>")


def test_a_file_of_its_own(flow, tmp_path):
    save_flow(flow, tmp_path / "flow.svg")
    root = ElementTree.parse(tmp_path / "flow.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
