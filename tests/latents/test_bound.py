"""Dictionaries of others, bound to a plain language model by their hook names."""

import pytest
import torch

from mmsteer.adapters import load
from mmsteer.errors import DictionaryError
from mmsteer.latents import bound
from mmsteer.latents.bound import bind
from mmsteer.sae import read_dictionary
from mmsteer.sae.hook_names import site_of_hook
from mmsteer.types import Sample, Site
from tests.latents.owned import components, llama_folder, sae_lens_folder, states_of, texts

SAID = texts(30)
CORPUS = [Sample(str(at), text) for at, text in enumerate(SAID)]
HERE = Site("text", 2)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    return load(llama_folder(tmp_path_factory.mktemp("llama")))


@pytest.fixture
def tensors(adapter):
    return components(adapter, SAID, HERE, 8)


@pytest.mark.parametrize(
    ("hook", "site"),
    [
        ("blocks.12.hook_resid_post", "text.12"),
        ("blocks.12.hook_resid_pre", "text.11"),
        ("blocks.0.hook_resid_pre", "text.0.embedding"),
        ("blocks.12.hook_resid_mid", "text.12.mid"),
        ("blocks.3.hook_mlp_out", "text.3.mlp"),
        ("blocks.3.hook_attn_out", "text.3.attention"),
        ("model.layers.12", "text.12"),
        ("layers.12", "text.12"),
        ("transformer.h.7", "text.7"),
        ("model.layers.4.self_attn", "text.4.attention"),
        ("layers.4.mlp", "text.4.mlp"),
    ],
)
def test_hook_names_of_others_are_sites(hook, site):
    assert str(site_of_hook(hook, "text")) == site


@pytest.mark.parametrize("hook", ["blocks.3.attn.hook_z", "hook_embed", "layers.4.mlp.up"])
def test_hook_names_that_are_no_site_are_refused_by_name(hook):
    with pytest.raises(DictionaryError, match=hook.replace(".", r"\.")):
        site_of_hook(hook, "text")


@pytest.mark.parametrize(("hook", "site"), [("blocks.2.hook_resid_post", None), ("blocks.3.hook_resid_pre", None)])
def test_a_dictionary_is_bound_where_its_file_says(adapter, tensors, tmp_path, hook, site):
    found = bind(read_dictionary(sae_lens_folder(tmp_path / "d", tensors, hook)), adapter, CORPUS)
    assert found.site == HERE
    assert found.dictionary.model == adapter.fingerprint
    assert list(found.fvu) == [HERE, Site("text", 1), Site("text", 3)]
    states = states_of(adapter, SAID, HERE)
    centred = states - states.mean(dim=0)
    tail = torch.linalg.svdvals(centred)[8:].square().sum() / centred.square().sum()
    assert found.fvu[HERE] == pytest.approx(float(tail), rel=1e-4)
    # Of a pair of opposite features one is active in every state.
    assert found.used.rows == len(states)
    assert found.used.density.view(2, 8).sum(dim=0).tolist() == pytest.approx([1] * 8)


def test_a_wrong_layer_is_refused_with_the_one_that_fits(adapter, tensors, tmp_path):
    dictionary = read_dictionary(sae_lens_folder(tmp_path / "d", tensors, "blocks.3.hook_resid_post"))
    with pytest.raises(DictionaryError, match=r"give --site text\.2"):
        bind(dictionary, adapter, CORPUS)
    assert bind(dictionary, adapter, CORPUS, site=HERE).site == HERE


def test_what_explains_nothing_is_refused_with_the_numbers(adapter, tensors, tmp_path):
    tensors["b_enc"] -= 1e6
    with pytest.raises(DictionaryError, match=r"leaves 1\.000 of the variance at text\.2"):
        bind(read_dictionary(sae_lens_folder(tmp_path / "d", tensors, "layers.2")), adapter, CORPUS)


def test_a_wrong_width_is_refused_before_anything_is_read(adapter, tmp_path, monkeypatch):
    monkeypatch.setattr(bound, "token_states", None)
    wide = {"W_enc": torch.ones(7, 9), "b_enc": torch.ones(9), "W_dec": torch.ones(9, 7), "b_dec": torch.ones(7)}
    with pytest.raises(DictionaryError, match=f"width 7 does not fit .* width {adapter.widths[HERE]}"):
        bind(read_dictionary(sae_lens_folder(tmp_path / "d", wide, "layers.2")), adapter, CORPUS)


def test_a_file_without_a_site_asks_for_one(adapter, tensors, tmp_path):
    with pytest.raises(DictionaryError, match="--site"):
        bind(read_dictionary(sae_lens_folder(tmp_path / "d", tensors, None)), adapter, CORPUS)


def test_top_k_gets_thresholds(adapter, tensors, tmp_path):
    folder = sae_lens_folder(tmp_path / "d", tensors, "layers.2", architecture="topk", k=6)
    found = bind(read_dictionary(folder), adapter, CORPUS)
    assert found.dictionary.k is None
    assert float(found.used.density.sum()) == pytest.approx(6, abs=0.1)


def test_the_cache_goes_by_content(adapter, tensors, tmp_path, monkeypatch):
    folder = sae_lens_folder(tmp_path / "d", tensors, "layers.2", architecture="topk", k=6)
    dictionary, cache = read_dictionary(folder), tmp_path / "cache"
    first = bind(dictionary, adapter, CORPUS, cache=cache)
    other = bind(dictionary, adapter, CORPUS[:20], cache=cache)
    assert other.used.rows < first.used.rows
    with monkeypatch.context() as patch:
        patch.setattr(bound, "token_states", None)  # what is there is not read again
        again = bind(dictionary, adapter, CORPUS, cache=cache)
    assert torch.equal(again.used.mean, first.used.mean)
    assert torch.equal(again.dictionary.threshold, first.dictionary.threshold)
    assert again.fvu == first.fvu
    with monkeypatch.context() as patch:
        patch.setattr(type(adapter), "run_identity", "with another LoRA")
        patch.setattr(bound, "token_states", lambda *_: pytest.fail("read again"))
        with pytest.raises(pytest.fail.Exception, match="read again"):
            bind(dictionary, adapter, CORPUS, cache=cache)
    tensors["b_enc"] += 0.01
    changed = read_dictionary(sae_lens_folder(tmp_path / "e", tensors, "layers.2", architecture="topk", k=6))
    assert not torch.equal(bind(changed, adapter, CORPUS, cache=cache).used.mean, first.used.mean)
