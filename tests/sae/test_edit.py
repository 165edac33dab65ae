"""Edits through a dictionary, by hand and in a model."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from mmsteer import hooks
from mmsteer.adapters import adapt, load
from mmsteer.errors import DictionaryError
from mmsteer.sae import SparseDictionary, latent_edit, loss_recovered, spliced
from mmsteer.types import Sample, Site
from tests.adapters.checkpoints import save
from tests.sae.test_dictionary import hand
from tests.test_record import samples

SITE = Site("decoder", 2)


def clamped(value):
    def change(z):
        new = z.clone()
        new[..., 0] = value
        return new

    return change


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_no_change_is_no_edit_bit_for_bit(dtype):
    h = torch.randn(2, 5, 2).to(dtype)
    assert torch.equal(latent_edit(hand(), lambda z: z)(h), h)


def test_the_error_stays_by_hand():
    # z = (2, 0, 0), so h = (2, -1) is taken for (12, 20); feature 0 goes from 2 to 5, three rows (1, 0) further.
    h = torch.tensor([[[2.0, -1.0]]])
    assert latent_edit(hand(), clamped(5.0))(h).tolist() == [[[5.0, -1.0]]]
    assert latent_edit(hand(), clamped(5.0), error_term=False)(h).tolist() == [[[15.0, 20.0]]]
    z = hand().encode(h)
    kept = hand().decode(clamped(5.0)(z)) + (h - hand().decode(z))
    assert_close(latent_edit(hand(), clamped(5.0))(h), kept)


def perfect(adapter) -> SparseDictionary:
    """Both signs of every coordinate: h = relu(h) - relu(-h)."""
    eye = torch.eye(adapter.widths[SITE])
    both = torch.cat([eye, -eye])
    features, width = both.shape
    zeros = torch.zeros(features)
    made = SparseDictionary(both.T.contiguous(), zeros, both, torch.zeros(width), zeros.clone())
    return made.at(SITE, adapter.fingerprint)


def test_a_perfect_dictionary_recovers_everything_and_an_empty_one_nothing(musicgen):
    dictionary = perfect(musicgen)
    found = loss_recovered(musicgen, dictionary, samples(3), batch=2)
    assert found.share == pytest.approx(1, abs=1e-6)
    assert found.tokens == 3 * 23
    empty = loss_recovered(musicgen, dictionary, samples(3), change=torch.zeros_like)
    assert empty.share == pytest.approx(0, abs=1e-6)
    assert empty.kl == pytest.approx(empty.kl_zero)
    # Half of the coordinates is between the two.
    mask = (torch.arange(dictionary.features) % 2).float()
    half = loss_recovered(musicgen, dictionary, samples(3), change=lambda z: z * mask)
    assert 0.1 < half.share < 0.9
    kept = loss_recovered(musicgen, dictionary, samples(3), error_term=True)
    assert kept.kl == 0


def test_divergence_by_hand(musicgen):
    reading = musicgen.reading(samples(1))
    plain = musicgen.read(reading).float().log_softmax(-1)
    with hooks.edits({musicgen.module(SITE): torch.zeros_like}):
        zero = musicgen.read(reading).float().log_softmax(-1)
    expected = torch.nn.functional.kl_div(zero, plain, log_target=True, reduction="sum") / plain.shape[1]
    found = loss_recovered(musicgen, perfect(musicgen), samples(1))
    assert found.tokens == plain.shape[1]
    assert found.kl_zero == pytest.approx(float(expected), rel=1e-4)


def test_nothing_outlives_the_splice(musicgen):
    reading = musicgen.reading(samples(1))
    before = musicgen.read(reading)
    with spliced(musicgen, perfect(musicgen), torch.zeros_like):
        inside = musicgen.read(reading)
    assert not torch.equal(inside, before)
    assert torch.equal(musicgen.read(reading), before)


def test_offloaded_weights_are_spliced(tmp_path):
    folder = save("llama", tmp_path / "model")
    whole = load(folder)
    places = {"model": "disk", "lm_head": "cpu"}
    model = AutoModelForCausalLM.from_pretrained(folder, device_map=places, offload_folder=tmp_path / "weights")
    offloaded = adapt(model, whole.processor)
    site, prompts = Site("text", 1), [Sample("0", "the cup is there", output="a table")]
    assert next(offloaded.module(site).parameters()).device.type == "meta"
    encoder = torch.randn(whole.widths[site], 16, generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros(16), torch.zeros(len(encoder))
    rough = SparseDictionary(encoder, zeros[0], encoder.T.contiguous(), zeros[1], zeros[0])
    rough = rough.at(site, whole.fingerprint)
    made = []
    for adapter in (whole, offloaded):
        with spliced(adapter, rough):
            made.append(adapter.read(adapter.reading(prompts)))
    assert_close(*made)
    assert not torch.equal(made[0], whole.read(whole.reading(prompts)))
    found = [loss_recovered(adapter, rough, prompts).kl for adapter in (whole, offloaded)]
    assert found[0] == pytest.approx(found[1])


def test_another_model_or_site_is_refused(musicgen):
    with pytest.raises(DictionaryError, match="names no site"), spliced(musicgen, hand()):
        pass
    with pytest.raises(DictionaryError, match="trained on model x"):
        loss_recovered(musicgen, replace(perfect(musicgen), model="x"), samples(1))
    with pytest.raises(DictionaryError, match=r"width 2 does not fit decoder.2, where this model has width 32"):
        loss_recovered(musicgen, hand().at(SITE), samples(1))
    with pytest.raises(DictionaryError, match="nothing to recover"):
        loss_recovered(musicgen, perfect(musicgen), [])
