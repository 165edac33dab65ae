"""A folded model says what the old one says under the edit, and is an ordinary checkpoint."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import AutoProcessor, MusicgenForConditionalGeneration

from mmsteer.adapters import TransformersMusicgen
from mmsteer.errors import AdapterError, DirectionError, SiteError, SteeringError
from mmsteer.fold import fold, save_folded
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Direction, Sample, Site, SiteStats


class Writing(TransformersMusicgen):
    def writer(self, site):
        layer = self.stack("decoder").layers[site.layer]
        return {"attention": layer.self_attn.out_proj, "mlp": layer.fc2}[site.point]


@pytest.fixture
def adapter(musicgen):
    """A model of its own, because folding changes it."""
    return Writing(deepcopy(musicgen.model), musicgen.processor)


@pytest.fixture
def biased(adapter):
    """The same with biases, which MusicGen's layers do not have."""
    for layer in adapter.stack("decoder").layers:
        layer.fc2.bias = nn.Parameter(torch.randn(32, generator=torch.Generator().manual_seed(1)))
    return Writing(adapter.model, adapter.processor)


def direction(adapter, name, sites, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draws = {Site.parse(site): torch.randn(32, generator=generator) for site in sites}
    vectors = {site: draw / draw.norm() for site, draw in draws.items()}
    return Direction(name, vectors, {site: SiteStats(0.9, 0.0, 1.0, 1.0) for site in vectors}, adapter.fingerprint)


def logits(adapter):
    wave = np.random.default_rng(0).normal(size=6400).astype(np.float32)
    return adapter.read(adapter.reading([Sample("clip", "a slow melody", output=wave)]))


def edited(adapter, *directions, strength=1.0):
    attributes = tuple(Attribute(one, strength, operator="project_out") for one in directions)
    with steer(adapter, Steering(attributes)):
        return logits(adapter)


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_folding_is_projecting_out(biased, strength):
    adapter = biased
    one = direction(adapter, "note:C", ["decoder.1.mlp", "decoder.2.attention", "decoder.3.mlp"])
    plain, expected = logits(adapter), edited(adapter, one, strength=strength)
    folds = fold(adapter, [one], strength=strength)
    assert_close(logits(adapter), expected, atol=1e-5, rtol=1e-4)
    assert (expected - plain).abs().max() > 1e-2  # otherwise the test shows nothing
    assert [str(found.site) for found in folds] == [
        "decoder.1.mlp",
        "decoder.2.attention",
        "decoder.3.mlp",
    ]


def test_directions_that_meet_lose_all_that_they_span(adapter):
    one, two = (direction(adapter, f"note:{seed}", ["decoder.1.mlp"], seed) for seed in (0, 1))
    site = Site.parse("decoder.1.mlp")
    a = one.vectors[site]
    b = two.vectors[site] - (two.vectors[site] @ a) * a
    across = Direction("across", {site: b / b.norm()}, two.stats, adapter.fingerprint)
    expected = edited(adapter, one, across)
    (found,) = fold(adapter, [one, two])
    assert_close(logits(adapter), expected, atol=1e-5, rtol=1e-4)
    assert (found.rank, found.directions) == (2, ("note:0", "note:1"))
    weight = adapter.writer(site).weight
    assert_close(torch.stack([a, two.vectors[site]]) @ weight, torch.zeros(2, 64), atol=1e-5, rtol=0)


def test_a_direction_given_twice_counts_once(adapter):
    one = direction(adapter, "note:C", ["decoder.1.mlp"])
    (found,) = fold(adapter, [one, one])
    assert found.rank == 1


def test_the_change_is_that_of_the_weight(adapter):
    one = direction(adapter, "note:C", ["decoder.1.mlp"])
    weight = adapter.writer(Site.parse("decoder.1.mlp")).weight.detach()
    before = weight.clone()
    (found,) = fold(adapter, [one])
    assert found.change == pytest.approx(float((weight - before).norm() / before.norm()), rel=1e-4)
    assert str(found).startswith("decoder.1.mlp: note:C (rank 1, weight changed by ")


def test_only_the_chosen_sites_change(adapter):
    one = direction(adapter, "note:C", ["decoder.1.mlp", "decoder.2.mlp", "decoder.2"])
    kept = adapter.writer(Site.parse("decoder.2.mlp")).weight.detach().clone()
    assert len(fold(adapter, [one], "decoder.1.mlp")) == 1
    assert torch.equal(adapter.writer(Site.parse("decoder.2.mlp")).weight, kept)


def test_the_folded_model_is_another_model(adapter):
    one = direction(adapter, "note:C", ["decoder.1.mlp"])
    fold(adapter, [one])
    with pytest.raises(DirectionError, match="was found in model"):
        fold(adapter, [one])


def test_the_checkpoint_is_an_ordinary_one(adapter, tmp_path):
    one = direction(adapter, "note:C", ["decoder.1.mlp"])
    folds = fold(adapter, [one])
    save_folded(adapter, tmp_path / "folded", folds, "base/model")
    again = MusicgenForConditionalGeneration.from_pretrained(tmp_path / "folded").eval()
    processor = AutoProcessor.from_pretrained(tmp_path / "folded")
    assert_close(logits(TransformersMusicgen(again, processor)), logits(adapter))
    card = (tmp_path / "folded" / "README.md").read_text()
    assert "base_model: base/model" in card
    assert f"| decoder.1.mlp | note:C | 1 | {folds[0].change:.2%} |" in card
    assert [file.name for file in tmp_path.iterdir()] == ["folded"]
    with pytest.raises(AdapterError, match="not overwritten"):
        save_folded(adapter, tmp_path / "folded", folds, "base/model")
    with pytest.raises(AdapterError, match="no folder"):
        save_folded(adapter, tmp_path / "nowhere" / "folded", folds, "base/model")


def test_blocks_are_refused_with_the_sites_beside_them(adapter):
    before = logits(adapter)
    both = direction(adapter, "note:C", ["decoder.1.mlp", "decoder.2"])
    with pytest.raises(
        SiteError, match=r"decoder\.2 is the residual.*find .* at decoder\.2\.attention and .*decoder\.2\.mlp"
    ):
        fold(adapter, [both])
    assert torch.equal(logits(adapter), before)


def test_nonsense_is_refused(adapter):
    one = direction(adapter, "note:C", ["decoder.1.mlp"])
    with pytest.raises(SiteError, match="no directions"):
        fold(adapter, [])
    with pytest.raises(SteeringError, match="at most 1"):
        fold(adapter, [one], strength=1.5)
    with pytest.raises(SiteError, match="no such site"):
        fold(adapter, [one], "decoder.2.mlp")


def test_weights_that_cannot_be_changed_are_refused(adapter):
    layer = adapter.stack("decoder").layers[1]
    layer.fc2.weight = nn.Parameter(torch.zeros(32, 64, dtype=torch.int8), requires_grad=False)
    with pytest.raises(AdapterError, match=r"quantised \(torch.int8\)"):
        fold(adapter, [direction(adapter, "note:C", ["decoder.1.mlp"])])
    layer.fc2.to("meta")
    with pytest.raises(AdapterError, match="not in memory"):
        fold(adapter, [direction(adapter, "note:C", ["decoder.1.mlp"])])
