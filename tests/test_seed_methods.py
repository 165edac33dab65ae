"""The seed methods run on another text model than the bundled one: a tiny Gemma 3 with dictionaries of its own."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
import transformers as hf

from mmsteer.adapters import LanguageModelAdapter
from mmsteer.latents.flow_study import small_dictionaries
from mmsteer.types import Site

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


@pytest.mark.parametrize("method", METHODS)
def test_a_method_runs_unchanged_on_another_model(study, method):
    found = importlib.import_module(method).run(study)
    assert found
    assert json.loads(json.dumps(found, allow_nan=False))
