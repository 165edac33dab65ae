"""The seed methods run on another text model than the bundled one: a tiny Gemma 3 with dictionaries of its own."""

import importlib
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers as hf

from mmsteer.adapters import LanguageModelAdapter
from mmsteer.latents.flow_study import small_dictionaries
from mmsteer.types import Sample, Site

FOLDER = Path(__file__).parents[1] / "examples" / "seed-methods"
METHODS = (
    "detection",
    "decomposition",
    "output_scores",
    "descriptions",
    "flow",
    "saif",
    "corrsteer",
    "refusal",
    "lf",
    "effects",
    "expected_effects",
)
TINY = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "initializer_range": 0.5,  # with the usual one no push reaches a divergence
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}


@pytest.fixture(scope="module")
def study(smollm2):
    sys.path.insert(0, str(FOLDER))
    shared = importlib.import_module("shared")
    torch.manual_seed(0)
    words = smollm2.processor
    config = hf.Gemma3TextConfig(vocab_size=len(words), **TINY, pad_token_id=words.pad_token_id)
    adapter = LanguageModelAdapter(hf.Gemma3ForCausalLM(config).eval(), words)
    rows = importlib.import_module("mmsteer").read_rows(FOLDER / "corpus.jsonl")[:6]
    corpus = [row.sample(adapter, answered=True) for row in rows]
    sites = [Site("text", layer) for layer in range(3)]
    found = small_dictionaries(adapter, corpus, sites, features=64, k=8, steps=60)
    yield shared.Study("tiny", adapter, tuple(found.values()), small=True)
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def folders(study, tmp_path_factory):
    """The model as a checkpoint, and its dictionaries as Gemma Scope lays them out: files that name no site."""
    home = tmp_path_factory.mktemp("gemma")
    study.adapter.model.save_pretrained(home / "model")
    study.adapter.processor.save_pretrained(home / "model")
    for dictionary, _ in study.bound:
        folder = home / f"layer_{dictionary.site.layer}" / "width_64" / "average_l0_8"
        folder.mkdir(parents=True)
        tensors = {"W_enc": "encoder", "b_enc": "encoder_bias", "W_dec": "decoder", "b_dec": "decoder_bias"}
        arrays = {
            name: getattr(dictionary, one).numpy() for name, one in (tensors | {"threshold": "threshold"}).items()
        }
        np.savez(folder / "params.npz", **arrays)
    return home


def test_folders_of_gemma_scope_are_opened_at_the_sites_that_are_said(study, folders):
    named = [f"text.{layer}={folders}/layer_{layer}/width_64/average_l0_8" for layer in (2, 0)]
    opened = sys.modules["shared"].open_study(str(folders / "model"), named, small=True)
    assert [str(one.site) for one, _ in opened.bound] == ["text.0", "text.2"]
    states = torch.randn(8, TINY["hidden_size"])
    assert torch.equal(opened.bound[1][0].encode(states), study.bound[2][0].encode(states))
    assert importlib.import_module("decomposition").run(opened)


def test_the_recipe_runs_on_another_checkpoint_with_a_folder_of_gemma_scope(mmsteer, folders, tmp_path):
    folder = folders / "layer_1" / "width_64" / "average_l0_8"
    places = [
        f"directions.{at}.{key}={value}"
        for at in (0, 1)
        for key, value in {"probe.dictionary": folder, "probe.features": 4, "sites": "text.1", "data.n": 12}.items()
    ]
    small = ("data.n=2", "generate.tokens=4", f"model.load={folders / 'model'}")
    code, _, err = mmsteer("run", FOLDER / "saif.yaml", *places, *small, "--out", tmp_path / "runs")
    assert code == 0, err
    (report,) = (tmp_path / "runs").rglob("report.html")
    assert "random features" in report.read_text()


@pytest.mark.parametrize("method", METHODS)
def test_a_method_runs_unchanged_on_another_model(study, method):
    found = importlib.import_module(method).run(study)
    assert found
    assert json.loads(json.dumps(found, allow_nan=False))


@pytest.mark.usefixtures("study")
def test_a_table_of_tokens_has_the_mean_activation_at_each_but_the_first():
    dictionary = SimpleNamespace(encode=lambda states: states.clamp(min=0))
    states = torch.tensor([[9.0, 9.0], [1.0, -1.0], [2.0, 0.0], [4.0, 2.0]])
    read = [SimpleNamespace(given=torch.tensor([[3], [5], [7], [7]]), states=states)]
    table = importlib.import_module("expected_effects").token_table(dictionary, read)
    assert table.tokens.tolist() == [5, 7]
    assert table.means.tolist() == [[1.0, 0.0], [3.0, 1.0]]
    assert table.counts.tolist() == [3, 1]


def test_an_answer_is_fluent_if_it_is_likely_enough_and_no_loop(study):
    fluency = importlib.import_module("fluency")
    prompt = "Tell me about a dog."
    answers = [Sample(str(at), prompt, output=one) for at, one in enumerate(("A. A. A. A. A.", "A dog sat here.", ""))]
    held = {limit: fluency.Fluency(study, lambda one: one, limit).holds(answers) for limit in (math.inf, 0.0)}
    assert held == {math.inf: [False, True, False], 0.0: [False] * 3}
