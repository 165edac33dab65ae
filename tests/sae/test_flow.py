"""Features followed through layers whose dictionaries are known by construction."""

import pytest
import torch
from torch.nn import functional

from mmsteer.errors import DictionaryError
from mmsteer.sae import SparseDictionary
from mmsteer.sae.flow import Node, best_matches, feature_flow, origin
from mmsteer.types import Site


def dictionary(rows, site, model="m"):
    features, width = rows.shape
    site = Site.parse(site) if site else None
    return SparseDictionary(
        rows.T.contiguous(), torch.zeros(features), rows, torch.zeros(width), torch.zeros(features),
        site=site, model=model,
    )  # fmt: skip


def test_a_permuted_noisy_decoder_is_matched_entirely():
    generator = torch.Generator().manual_seed(0)
    rows = functional.normalize(torch.randn(512, 64, generator=generator), dim=1)
    order = torch.randperm(512, generator=generator)
    others = 3 * (rows + 0.05 * torch.randn(512, 64, generator=generator))[order]
    which, cosine = best_matches(rows, others)
    assert torch.equal(order[which[:, 0]], torch.arange(512))
    assert cosine.min() > 0.8
    unrelated = torch.randn(512, 64, generator=generator)
    assert best_matches(rows, unrelated)[1].max() < 0.8


def test_several_matches_by_hand():
    which, cosine = best_matches(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0], [3.0, 4.0], [5.0, 0.0]]), k=2)
    assert which.tolist() == [[2, 1]]
    assert cosine[0].tolist() == pytest.approx([1.0, 0.6])


@pytest.mark.parametrize(
    ("residual", "attention", "mlp", "named"),
    [
        (0.9, 0.1, None, "translated"),
        (0.9, None, None, "translated"),
        (0.5, 0.1, 0.15, "processed"),
        (0.49, 0.15, 0.1, "newborn"),
        (0.2, 0.1, 0.1, "unexplained"),
    ],
)
def test_origins(residual, attention, mlp, named):
    assert origin(residual, attention, mlp) == named


def rows(*angles):
    """Directions of the plane, in degrees."""
    radians = torch.deg2rad(torch.tensor(angles, dtype=torch.float32))
    return torch.stack([radians.cos(), radians.sin(), torch.zeros_like(radians)], dim=1)


@pytest.fixture
def layers():
    """Feature 1 at layer 2 is 40 degrees; the MLP of layer 2 wrote at 60, its attention across the plane."""
    across = torch.tensor([[0.0, 0.0, 1.0]])
    return [
        dictionary(rows(180, 270), "decoder.0"),
        dictionary(rows(200, 10), "decoder.1"),
        dictionary(rows(130, 40), "decoder.2"),
        dictionary(rows(60, 240), "decoder.2.mlp"),
        dictionary(across, "decoder.2.attention"),
        dictionary(rows(70, 300), "decoder.4"),
    ]


def test_a_flow_by_hand(layers):
    start = Node(Site("decoder", 2), 1)
    flow = feature_flow(layers, start.site, 1)
    back, up = Node(Site("decoder", 1), 1), Node(Site("decoder", 4), 0)
    made = Node(Site("decoder", 2, "mlp"), 0)
    assert {node: round(score, 4) for node, score in flow.nodes.items()} == {
        start: 1.0,
        back: 0.8660,  # cos 30
        up: 0.8660,
        made: 0.9397,  # cos 20
    }
    assert {(link.source, link.target) for link in flow.links} == {(back, start), (start, up), (made, start)}
    # Layer 1's own best match in layer 0 is 10 against 270 degrees: cos 100, the end.
    assert flow.origins == {start: "processed", up: "translated", back: "unexplained"}
    assert flow.stream == (back, start, up)


def test_a_newborn_feature(layers):
    layers[1] = dictionary(rows(200, 250), "decoder.1")
    flow = feature_flow(layers, Site("decoder", 2), 1)
    assert flow.origins[flow.start] == "newborn"
    assert Site("decoder", 1) not in {node.site for node in flow.nodes}


def test_the_table_names_every_feature(layers):
    lines = feature_flow(layers, Site("decoder", 2), 1).table().splitlines()
    assert lines[1].split() == ["decoder.2.mlp:0", "cosine", "0.94"]
    assert lines[2].split() == ["decoder.2:1", "followed", "processed"]
    assert len(lines) == 4


def test_what_cannot_be_followed_is_refused(layers):
    here = Site("decoder", 2)
    for given, site, feature, message in [
        (layers, Site("decoder", 3), 0, "no dictionary of a whole block is at decoder.3"),
        (layers, Site("decoder", 2, "mlp"), 0, "whole block"),
        (layers, here, 2, "no feature 2"),
        ([*layers, dictionary(rows(0), "decoder.2")], here, 0, "two dictionaries"),
        ([*layers, dictionary(rows(0), None)], here, 0, "names no site"),
        ([*layers, dictionary(rows(0), "text.3")], here, 0, "one stack"),
        ([*layers, dictionary(rows(0), "decoder.3", model="other")], here, 0, "one model"),
    ]:
        with pytest.raises(DictionaryError, match=message):
            feature_flow(given, site, feature)
    with pytest.raises(DictionaryError, match="widths must agree"):
        best_matches(torch.ones(1, 2), torch.ones(4, 3))
