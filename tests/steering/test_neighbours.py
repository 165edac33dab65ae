"""A row of a batch is steered as it is alone, whatever its neighbour is steered by."""

import pytest
import torch

from mmsteer.errors import SteeringError
from mmsteer.schedules import Bernoulli, Timeline
from mmsteer.steering import Steering, parse_attribute, steer
from mmsteer.types import Direction, Site, SiteStats
from tests.steering.calling import Forced, language, states

__all__ = ["language"]

NEW = 12
SITES = [Site("text", 0, "mlp"), *(Site("text", layer) for layer in range(3)), Site("text", 2, "mlp")]
HEADS = [Site("text", layer, "head", head) for layer in (1, 2) for head in (0, 1)]
LAYER = "bernoulli(0.5, 7, layer)"


def direction(adapter, name, sites, seed, norm=1.0):
    """Norms that grow from site to site, and scores that differ."""
    generator = torch.Generator().manual_seed(seed)
    draws = {site: torch.randn(adapter.widths[site], generator=generator) for site in sites}
    vectors = {site: draw / draw.norm() for site, draw in draws.items()}
    stats = {
        site: SiteStats(0.5 + (3 * place + seed) % 5 / 10, 0, 1, norm * (1 + place)) for place, site in enumerate(sites)
    }
    return Direction(name, vectors, stats, adapter.fingerprint)


@pytest.fixture(scope="module")
def known(language):
    return {
        "a": direction(language, "a", SITES, 1),
        "b": direction(language, "b", SITES, 2, norm=10.0),
        "heads": direction(language, "heads", HEADS, 3),
    }


def steering(known, lines, compose="sum", budget=None):
    return Steering(tuple(parse_attribute(line, known) for line in lines), compose, budget)


def generate(adapter, rows, new=NEW):
    ids = torch.tensor([[9, 8, 7, 6, 5], [5, 6, 7, 8, 9]])[-rows:]
    options = {"max_new_tokens": new, "do_sample": False, "logits_processor": [Forced()]}
    adapter.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)


def run(adapter, steerings):
    """The states of the last row, forward by forward, and its receipt."""
    with steer(adapter, steerings) as session:
        seen = states(adapter, lambda: generate(adapter, len(steerings)))
    return [state[-1] for state in seen], session.receipt_of(len(steerings) - 1, NEW)


WHOLE = (["a 0.5", "b 0.5"], "gram_schmidt")
CASES = {
    "composed with fewer sites": ((["a 0.5 on text.2", "b 0.5"], "gram_schmidt"), WHOLE),
    "composed with other weights": ((["a 0.5 weights top(2)", "b 0.5"], "gram_schmidt"), WHOLE),
    "composed with another operator": ((["a 0.5 by project_out", "b 0.5"], "gram_schmidt"), WHOLE),
    "edits in another order": ((["a 0.5 by rotate", "b 3abs by clamp"],), (["b 3abs by clamp", "a 0.5 by rotate"],)),
    "a gate of each layer": (([f"a 0.5 {LAYER} on text.2"],), (["b 0.05 on text.0"],)),
    "gates of each layer, two": (([f"a 0.5 {LAYER} on text.1-2"],), ([f"b 0.05 {LAYER} on text.0"],)),
    "gates of each layer at heads": (([f"heads 0.5 {LAYER}"],), ([f"a 0.5 {LAYER} on text.0.mlp"],)),
    "a budget of norms of its own": ((["b 0.5abs on text.1"], "sum", 0.01), (["a 0.1 on text.1"],)),
    "a budget beside gates": ((["a 2abs"], "sum", 0.5), ([f"b 0.05 {LAYER}"],)),
    "a budget with gates": (([f"a 2abs {LAYER}"], "sum", 0.5), (["b 0.05"],)),
}


@pytest.mark.parametrize(("mine", "neighbour"), CASES.values(), ids=CASES)
def test_a_row_is_steered_as_it_is_alone(language, known, mine, neighbour):
    own, other = (steering(known, *words) for words in (mine, neighbour))
    alone, receipt = run(language, [own])
    beside, its = run(language, [other, own])
    plain, _ = run(language, [Steering()])
    assert max(float((one - two).norm()) for one, two in zip(alone, plain, strict=True)) > 0.1
    for one, two in zip(beside, alone, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)
    assert its.tokens == receipt.tokens
    assert {site: one.ratio for site, one in its.sites.items()} == pytest.approx(
        {site: one.ratio for site, one in receipt.sites.items()}, rel=1e-3
    )


def test_every_place_of_a_layer_has_the_gate_of_its_layer(language, known):
    """Two places of layer 0, two of layer 2, and the heads of layers 1 and 2, whose place comes before the others."""
    _, receipt = run(language, [steering(known, [f"a 0.5 {LAYER} at generated", f"heads 0.5 {LAYER} at generated"])])
    opened = Bernoulli(0.5, 7, "layer").values(Timeline(NEW, layers=range(3)))[:, 1:].sum(axis=1)
    assert len(set(opened)) == 3
    assert {site: one.ratios.count for site, one in receipt.sites.items()} == {
        str(site): opened[site.layer] for site in SITES + HEADS
    }


def test_a_gate_that_rests_in_its_own_layers_is_refused_whatever_a_neighbour_does(language, known):
    """Of seed 11 layer 0 is closed for three steps, and layer 1 is not."""
    own = steering(known, ["a 0.5 bernoulli(0.5, 11, layer) on text.0"])
    other = steering(known, ["a 0.5 bernoulli(0.5, 11, layer) on text.1"])
    for steerings in ([own], [other, own]):
        with pytest.raises(SteeringError, match="at each of the 3 steps"), steer(language, steerings):
            generate(language, len(steerings), new=3)
