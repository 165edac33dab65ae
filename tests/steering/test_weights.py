"""Layer weights."""

import pytest
import torch

from mmsteer.errors import SteeringError
from mmsteer.steering import layer_weights
from mmsteer.types import Direction, Site, SiteStats

SITES = [Site("decoder", layer) for layer in range(4)]


def scored(*scores):
    vector = torch.tensor([1.0, 0.0])
    sites = SITES[: len(scores)]
    stats = {site: SiteStats(score, 0, 1, 1) for site, score in zip(sites, scores, strict=True)}
    return Direction("d", dict.fromkeys(sites, vector), stats, "m")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("uniform", [1, 1, 1, 1]),
        ("top(2)", [0, 1, 0, 1]),
        ("top(9)", [1, 1, 1, 1]),
        ("linear", [0, 0.8, 0.5, 1]),
        ("power(0.5)", [0, 0.64, 0.25, 1]),
        ("power(0.95)", [0, 0.8 ** (1 / 0.95), 0.5 ** (1 / 0.95), 1]),
    ],
)
def test_weights_by_hand(text, expected):
    weights = layer_weights(text, scored(0.5, 0.9, 0.75, 1.0))
    assert [weights[site] for site in SITES] == pytest.approx(expected)


def test_scores_that_tell_nothing_apart_weigh_alike():
    for text in ("linear", "power(0.95)"):
        assert set(layer_weights(text, scored(0.999, 0.998, 1.0, 0.9985)).values()) == {1.0}


def test_refusals():
    for text in ("topp(3)", "top", "top(0)", "linear(3)", "power", "", f"top({'9' * 5000})"):
        with pytest.raises(SteeringError, match="no layer weights"):
            layer_weights(text, scored(0.5, 0.6))
    with pytest.raises(SteeringError, match=r"has none at decoder.1"):
        layer_weights("linear", scored(0.5, None))
