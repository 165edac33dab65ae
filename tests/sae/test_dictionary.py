"""The one form of a dictionary."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from mmsteer.errors import DictionaryError
from mmsteer.sae import SparseDictionary
from mmsteer.sae.dictionary import folded, gated
from mmsteer.types import Site, Sketch


def hand() -> SparseDictionary:
    """Width 2, three features: x, y, and both."""
    encoder = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    decoder = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]])
    zeros = torch.zeros(3)
    return SparseDictionary(encoder, torch.tensor([0.0, 0.0, -1.0]), decoder, torch.tensor([10.0, 20.0]), zeros)


def test_thresholds_by_hand():
    # a = (2, -1, 0): only what is above zero counts, and 0.5 is not above 0.5.
    assert hand().encode(torch.tensor([2.0, -1.0])).tolist() == [2.0, 0.0, 0.0]
    raised = replace(hand(), threshold=torch.tensor([0.5, 0.5, -9.0]))
    assert raised.encode(torch.tensor([[0.5, 0.6], [0.7, -2.0]])).tolist() == [
        [0.0, pytest.approx(0.6), pytest.approx(0.1)],
        [pytest.approx(0.7), 0.0, 0.0],  # -2.3 is above the threshold -9, and still no activation
    ]


def test_the_k_largest_by_hand():
    two = replace(hand(), k=2)
    assert two.encode(torch.tensor([2.0, 3.0])).tolist() == [0.0, 3.0, 4.0]
    assert two.encode(torch.tensor([-2.0, 1.0])).tolist() == [0.0, 1.0, 0.0]


def test_decoding_by_hand():
    assert hand().decode(torch.tensor([1.0, 2.0, 1.0])).tolist() == [14.0, 28.0]
    assert_close(hand().direction(2), torch.tensor([0.6, 0.8]))


def test_half_precision_is_read_in_single():
    wide = hand().encode(torch.tensor([1.0, 1.0], dtype=torch.bfloat16))
    assert wide.dtype == torch.float32


def test_centre_and_scale_fold_into_the_biases():
    torch.manual_seed(0)
    encoder, decoder, bias, centre = torch.randn(4, 6), torch.randn(6, 4), torch.randn(6), 5 * torch.randn(4)
    threshold, h, scale = torch.rand(6), torch.randn(32, 4), 0.125
    a = (scale * h - centre) @ encoder + bias
    z = a * (a > threshold) * (a > 0)
    found = folded(encoder, bias, decoder, centre, threshold, subtract=True, scale=scale)
    assert_close(found.encode(h), z / scale, atol=1e-3, rtol=1e-4)
    assert_close(found.reconstruct(h), (z @ decoder + centre) / scale, atol=1e-3, rtol=1e-4)
    plain = folded(encoder, bias, decoder, centre, threshold, subtract=False)
    assert_close(plain.encoder_bias, bias)


def test_a_gate_is_a_threshold():
    torch.manual_seed(1)
    encoder, gate, scale, magnitude = torch.randn(4, 64), torch.randn(64), torch.randn(64) / 3, torch.randn(64)
    h = torch.randn(100, 4)
    z = ((h @ encoder + gate) > 0) * (h @ (encoder * scale.exp()) + magnitude).relu()
    new, bias, threshold = gated(encoder, gate, scale, magnitude)
    zeros = torch.zeros(64, 4), torch.zeros(4)
    assert_close(folded(new, bias, *zeros, threshold, subtract=False).encode(h), z, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": torch.zeros(3, 3)}, r"encoder is \(3, 3\).*width 2 it must be \(width, features\) = \(2, 3\)"),
        ({"encoder_bias": torch.full((3,), torch.nan)}, "encoder_bias has numbers that are not finite"),
        ({"threshold": torch.zeros(3).double()}, "threshold has type torch.float64"),
        ({"decoder": torch.zeros(3)}, r"decoder is \(3,\)"),
        ({"k": 4}, "k is 4; of 3 features"),
        ({"k": 1, "threshold": torch.ones(3)}, "not both"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(DictionaryError, match=message):
        replace(hand(), **change)


def model(widths, fingerprint="m", sketch=None):
    return SimpleNamespace(widths=widths, fingerprint=fingerprint, sketch=sketch or Sketch("other", torch.zeros(1)))


def test_wrong_states_features_and_models_are_refused():
    with pytest.raises(DictionaryError, match="width 3 do not fit a dictionary of width 2"):
        hand().encode(torch.zeros(3))
    with pytest.raises(DictionaryError, match="no feature 3"):
        hand().direction(3)
    with pytest.raises(DictionaryError, match="no direction"):
        replace(hand(), decoder=torch.zeros(3, 2)).direction(0)
    site = Site("text", 1)
    with pytest.raises(DictionaryError, match="names no site"):
        hand().located(model({site: 2}))
    known = hand().at(site, "m")
    assert known.located(model({site: 2})) == site
    with pytest.raises(DictionaryError, match="this model has width 4"):
        known.located(model({site: 4}))
    with pytest.raises(DictionaryError, match="no such site"):
        known.located(model({}))
    with pytest.raises(DictionaryError, match=r"trained on model m, this model is n.*compatibility='dimension'"):
        known.located(model({site: 2}, "n"))


def test_a_model_in_another_precision_or_a_fine_tune_of_it():
    site, numbers = Site("text", 1), torch.tensor([1.0, -0.5, 0.25])
    known = hand().at(site, "m", Sketch("llama", numbers.bfloat16()))
    cast = model({site: 2}, "half", Sketch("llama", (numbers * 1.001).bfloat16()))
    assert known.located(cast) == site
    tuned = model({site: 2}, "tuned", Sketch("llama", (numbers * 1.2).bfloat16()))
    with pytest.raises(DictionaryError, match="compatibility='architecture'"):
        known.located(tuned)
    assert replace(known, compatibility="architecture").located(tuned) == site
    with pytest.raises(DictionaryError, match="no compatibility 'same'"):
        replace(known, compatibility="same")
