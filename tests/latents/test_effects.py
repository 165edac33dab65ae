"""A planted linear effect: the model finds it, and turns away from what every vector does."""

import math

import pytest
import torch
from torch.nn import functional

from mmsteer.errors import ProbeError
from mmsteer.latents.effects import StateStatistics, fit_effects, probing_vectors
from mmsteer.sae import SparseDictionary
from mmsteer.types import Site

NAMES = ("a", "b", "c")
SITE = Site("decoder", 1)


def unit_rows(n, width, seed):
    return functional.normalize(torch.randn(n, width, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.fixture(scope="module")
def planted():
    """Vectors of width 24 whose effects are linear; every vector does 2 of c, in units a hundred times larger."""
    vectors, matrix = unit_rows(300, 24, 0), torch.randn(24, 3, generator=torch.Generator().manual_seed(1))
    bias, scale = torch.tensor([0.0, 0.0, 2.0]), torch.tensor([1.0, 1.0, 100.0])
    noise = 0.05 * torch.randn(300, 3, generator=torch.Generator().manual_seed(2))
    return vectors, matrix, bias, scale, (vectors @ matrix + bias + noise) * scale


def test_a_planted_linear_effect_is_found(planted):
    vectors, matrix, bias, scale, effects = planted
    model = fit_effects(vectors, effects, NAMES)
    fresh = unit_rows(50, 24, 7)
    truth = (fresh @ matrix + bias) * scale
    assert functional.cosine_similarity(model.predict(fresh), truth, dim=0).min() > 0.99
    assert model.r2.min() > 0.9
    assert model.vectors == 300


def test_shuffled_effects_are_not_found(planted):
    vectors, _, _, _, effects = planted
    shuffled = effects[torch.randperm(300, generator=torch.Generator().manual_seed(3))]
    assert fit_effects(vectors, shuffled, NAMES).r2.max() < 0.1


def test_the_vector_for_an_effect_has_more_of_it_than_any_that_was_measured(planted):
    vectors, matrix, _, _, effects = planted
    s = fit_effects(vectors, effects, NAMES).vector({"a": 1.0}, common=0.0)
    assert s.norm() == pytest.approx(1, abs=1e-5)
    assert s @ matrix[:, 0] > (vectors @ matrix[:, 0]).max()
    assert functional.cosine_similarity(s, matrix[:, 0], dim=0) > 0.99


def test_what_every_vector_does_is_turned_away_from(planted):
    vectors, matrix, _, _, effects = planted
    model = fit_effects(vectors, effects, NAMES)
    plain, turned = model.vector({"a": 1.0}, common=0.0), model.vector({"a": 1.0})
    assert turned @ matrix[:, 2] < plain @ matrix[:, 2] - 1
    wanted = functional.normalize(matrix[:, 0], dim=0) - functional.normalize(matrix[:, 2], dim=0)
    assert functional.cosine_similarity(turned, wanted, dim=0) > 0.99


def test_left_out_errors_by_refitting_without_each():
    """Twelve vectors: R² from the leverages is R² of twelve fits that never saw their vector."""
    v, y = unit_rows(12, 3, 4).double(), torch.randn(12, 1, generator=torch.Generator().manual_seed(5)).double()
    model = fit_effects(v, y, ("a",), [0.1])
    errors = []
    for out in range(12):
        kept = torch.arange(12) != out
        x, t = v[kept] - v[kept].mean(0), y[kept] - y[kept].mean(0)
        matrix = torch.linalg.solve(x.T @ x + 0.1 * torch.eye(3, dtype=torch.float64), x.T @ t)
        errors.append(y[out] - y[kept].mean(0) - (v[out] - v[kept].mean(0)) @ matrix)
    r2 = 1 - torch.stack(errors).square().sum() / (y - y.mean()).square().sum()
    assert float(model.r2) == pytest.approx(float(r2), abs=1e-6)


def test_a_heavier_penalty_is_chosen_for_noise(planted):
    vectors, _, _, _, effects = planted
    noise = torch.randn(effects.shape, generator=torch.Generator().manual_seed(6))
    assert fit_effects(vectors, noise, NAMES).ridge > fit_effects(vectors, effects, NAMES).ridge


def test_vectors_without_a_known_effect_are_left_out(planted):
    vectors, _, _, _, effects = planted
    gaps = effects.clone()
    gaps[:100, 1] = math.nan
    assert fit_effects(vectors, gaps, NAMES).vectors == 200


def test_a_direction_knows_the_scale_of_its_site(planted):
    vectors, _, _, _, effects = planted
    states = 3 + torch.randn(500, 24, generator=torch.Generator().manual_seed(8))
    ground = StateStatistics(SITE, "m", states)
    found = fit_effects(vectors, effects, NAMES).direction(ground, {"a": 1.0, "b": -0.5}, "wish:a")
    s = found.vectors[SITE]
    assert found.stats[SITE].mean == pytest.approx(float((states @ s).mean()), abs=1e-4)
    assert found.stats[SITE].residual_norm == pytest.approx(float(states.norm(dim=1).median()), rel=0.006)
    assert found.provenance["target"] == "a 1, b -0.5"


def test_probing_vectors_are_rows_and_random_ones():
    rows = torch.eye(4) * 2
    made = SparseDictionary(rows, torch.zeros(4), rows, torch.zeros(4), torch.zeros(4), site=SITE, model="m")
    found = probing_vectors(StateStatistics(SITE, "m", torch.randn(8, 4)), made, [3, 0], 2, seed=0)
    assert [one.name for one in found] == ["row:3", "row:0", "random:0", "random:1"]
    assert found[0].vectors[SITE].tolist() == [0, 0, 0, 1]


def test_what_cannot_be_fitted_is_refused(planted):
    vectors, _, _, _, effects = planted
    with pytest.raises(ProbeError, match="expected \\(vectors, names\\)"):
        fit_effects(vectors, effects, ("a", "b"))
    with pytest.raises(ProbeError, match="2 of 2 vectors"):
        fit_effects(vectors[:2], effects[:2], NAMES)
    with pytest.raises(ProbeError, match="'b' is the same"):
        fit_effects(vectors, effects * torch.tensor([1.0, 0.0, 1.0]), NAMES)
    model = fit_effects(vectors, effects, NAMES)
    with pytest.raises(ProbeError, match="no effect \\['d'\\]; choose from a, b, c"):
        model.vector({"d": 1.0})
    with pytest.raises(ProbeError, match="no vector has the effect"):
        model.vector({"a": 0.0}, common=0.0)


def test_raw_effects_are_fitted_in_their_own_units():
    """By hand: two orthogonal effects, one ten times the other; standardised the two count alike, raw they do not."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(40, 3, generator=generator), dim=1)
    effects = torch.stack([10 * vectors[:, 0], vectors[:, 1]], dim=1).double()
    raw = fit_effects(vectors, effects, ["big", "small"], [1e-9], raw=True)
    torch.testing.assert_close(raw.matrix, torch.tensor([[10.0, 0], [0, 1], [0, 0]]), atol=1e-4, rtol=1e-4)
    assert raw.scale.tolist() == [1, 1]
    even = fit_effects(vectors, effects, ["big", "small"], [1e-9])
    torch.testing.assert_close(even.matrix * even.scale, raw.matrix, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(raw.predict(vectors), effects.float(), atol=1e-4, rtol=1e-4)
