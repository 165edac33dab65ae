"""Directions and their controls."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from mmsteer.errors import DirectionError
from mmsteer.types import COMPATIBILITIES, Direction, Feature, Site, SiteStats, Sketch, random_direction

A, B = Site("decoder", 0), Site("decoder", 1)
ONES = torch.ones(4, dtype=torch.bfloat16)
STATS = SiteStats(0.9, 0.0, 1.0, 5.0)


def direction(vector=None, **fields):
    vector = torch.tensor([0.6, 0.8]) if vector is None else vector
    return Direction("note:C", {A: vector}, {A: STATS}, "model-1", **fields)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (torch.tensor([0.6, 0.9]), "the norm is 1.08"),
        (torch.tensor([float("nan"), 1.0]), "the norm is nan"),
        (torch.zeros(2), "the norm is 0"),
        (torch.tensor([[[0.6, 0.8]]]), r"expected \(width,\) or \(tokens, width\) float32"),
        (torch.tensor([[0.6, 0.8], [0.6, 0.9]]), "the norm is 1.08"),
        (torch.tensor([[0.6, 0.8], [float("nan"), 0.0]]), "the norm is nan"),
        (torch.zeros(3, 2), "the norm is 0"),
        (torch.tensor([0.6, 0.8], dtype=torch.float64), "float64"),
    ],
)
def test_vectors_are_unit_vectors(vector, message):
    with pytest.raises(DirectionError, match=message):
        direction(vector)


def test_sites_and_statistics_agree():
    with pytest.raises(DirectionError, match="different sites"):
        Direction("note:C", {A: torch.tensor([0.6, 0.8])}, {B: STATS}, "model-1")
    with pytest.raises(DirectionError, match="no sites"):
        Direction("note:C", {}, {}, "model-1")


def model(fingerprint, widths, sketch=None):
    return SimpleNamespace(fingerprint=fingerprint, widths=widths, sketch=sketch or Sketch("another", ONES))


def test_another_model_is_refused():
    assert direction().check_model(model("model-1", {A: 2, B: 2})) == "exact"
    with pytest.raises(DirectionError, match=r"found in model model-1, this model is model-2, and what.*'dimension'"):
        direction().check_model(model("model-2", {A: 2}))
    with pytest.raises(DirectionError, match="width 3"):
        direction(compatibility="dimension").check_model(model("model-1", {A: 3}))
    with pytest.raises(DirectionError, match="no such site"):
        direction(compatibility="dimension").check_model(model("model-1", {B: 2}))


@pytest.mark.parametrize(
    ("its", "level"),
    [
        (Sketch("llama", ONES * (1 + 2**-7)), "exact"),
        (Sketch("llama", ONES * (1 + 2**-6)), "architecture"),
        (Sketch("mamba", ONES), "dimension"),
    ],
)
def test_the_compatibility_decides_which_model_is_accepted(its, level):
    other = model("model-2", {A: 2}, its)
    for asked in COMPATIBILITIES:
        found = direction(sketch=Sketch("llama", ONES), compatibility=asked)
        if COMPATIBILITIES.index(level) <= COMPATIBILITIES.index(asked):
            assert found.check_model(other) == level
        else:
            with pytest.raises(DirectionError, match=f"accept it with compatibility='{level}'"):
                found.check_model(other)


def test_without_a_sketch_any_other_model_is_known_by_its_widths_alone():
    other = model("model-2", {A: 2}, Sketch("llama", ONES))
    assert direction(compatibility="dimension").check_model(other) == "dimension"
    with pytest.raises(DirectionError, match="what its architecture was is not known"):
        direction(compatibility="architecture").check_model(other)
    with pytest.raises(DirectionError, match="no compatibility 'loose'; choose from exact, architecture, dimension"):
        direction(compatibility="loose")


def test_a_direction_may_have_a_vector_for_each_token():
    tokens = torch.tensor([[0.6, 0.8], [0.0, 0.0], [1.0, 0.0]])
    found = direction(tokens)
    found.check_model(model("model-1", {A: 2}))
    with pytest.raises(DirectionError, match=r"writes 2 numbers at decoder\.0, where this model has width 3"):
        found.check_model(model("model-1", {A: 3}))
    control = random_direction(found, 1).vectors[A]
    torch.testing.assert_close(control.norm(dim=-1), torch.tensor([1.0, 0.0, 1.0]))
    assert not torch.allclose(control[0], control[2])


def test_random_directions_are_unit_seeded_and_unlike():
    vectors = {site: torch.nn.functional.normalize(torch.ones(512), dim=0) for site in (A, B)}
    like = Direction("note:C", vectors, {A: STATS, B: STATS}, "model-1")
    one, again, other = (random_direction(like, seed) for seed in (1, 1, 2))
    for site in (A, B):
        assert one.vectors[site].norm() == pytest.approx(1, abs=1e-5)
        assert torch.equal(one.vectors[site], again.vectors[site])
        assert abs(float(one.vectors[site] @ other.vectors[site])) < 0.25
        assert abs(float(one.vectors[site] @ like.vectors[site])) < 0.25
    assert abs(float(one.vectors[A] @ one.vectors[B])) < 0.25
    assert one.stats == like.stats
    other = random_direction(replace(like, sketch=Sketch("llama", ONES), compatibility="dimension"), 1)
    assert (other.sketch.architecture, other.compatibility) == ("llama", "dimension")


def test_features_stand_where_the_vectors_do():
    read = Feature(torch.ones(2), 0.5, 0.0)
    assert direction(features={A: read}).features == {A: read}
    with pytest.raises(DirectionError, match="vectors and features name different sites"):
        direction(features={B: read})
    with pytest.raises(DirectionError, match=r"an encoder of \(3,\) beside a vector of \(2,\)"):
        direction(features={A: Feature(torch.ones(3), 0.5, 0.0)})


def test_the_control_of_a_feature_is_read_alike_and_written_elsewhere():
    one = direction(features={A: Feature(torch.ones(2), 0.5, 0.0)})
    control = random_direction(one, 0)
    assert control.features == one.features
    assert not torch.equal(control.vectors[A], one.vectors[A])
