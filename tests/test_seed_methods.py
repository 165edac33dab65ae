"""The seed methods run on another text model than the bundled one: a tiny Gemma 3 with dictionaries of its own."""

import importlib
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers as hf
import yaml

from mmsteer.adapters import LanguageModelAdapter
from mmsteer.latents.flow_study import small_dictionaries
from mmsteer.sae import feature_direction, write_sae_lens
from mmsteer.steering import Steering
from mmsteer.types import Sample, Site

FOLDER = Path(__file__).parents[1] / "examples" / "seed-methods"
METHODS = (
    "detection",
    "decomposition",
    "output_scores",
    "descriptions",
    "flow",
    "saif",
    "instruction_place",
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


@pytest.mark.parametrize("layout", ["its own", "gemma scope"])
@pytest.mark.parametrize("recipe", ["saif", "sea", "corrsteer"])
def test_a_recipe_runs_on_another_checkpoint_with_a_dictionary_of_either_layout(
    mmsteer, study, folders, tmp_path, recipe, layout
):
    folder = folders / "layer_1" / "width_64" / "average_l0_8"
    if layout == "its own":
        folder = tmp_path / "dictionary"
        write_sae_lens(folder, study.bound[1][0])
    said = yaml.safe_load((FOLDER / f"{recipe}.yaml").read_text())
    changed = {"model.load": folders / "model", "data.n": 2, "generate.tokens": 4}
    for at, direction in enumerate(said["directions"]):
        changed |= {f"directions.{at}.probe.dictionary": folder, f"directions.{at}.sites": "text.1"}
        if "prompts" in direction["data"]:
            # Answers of a random model are alike to every check but one on single letters.
            learned = {"prompts.n": 24, "reward": "regex:a", "generate.tokens": 4}
        else:
            learned = {"n": 12}
            changed[f"directions.{at}.probe.features"] = min(4, direction["probe"]["features"])
        changed |= {f"directions.{at}.data.{key}": value for key, value in learned.items()}
    if "choose" in said:
        changed |= {"choose.data.n": 2, "choose.bounds": "{}"}
    words = [f"{key}={value}" for key, value in changed.items()]
    code, _, err = mmsteer("run", FOLDER / f"{recipe}.yaml", *words, "--out", tmp_path / "runs")
    assert code == 0, err
    (report,) = (tmp_path / "runs").rglob("report.html")
    assert "random feature" in report.read_text()


@pytest.mark.parametrize("method", METHODS)
def test_a_method_runs_unchanged_on_another_model(study, method):
    found = importlib.import_module(method).run(study)
    assert found
    assert json.loads(json.dumps(found, allow_nan=False))


def test_text_is_detected_against_another_models_by_what_was_learned_from_either(study, folders, tmp_path):
    torch.manual_seed(1)
    hf.Gemma3ForCausalLM(study.adapter.model.config).save_pretrained(tmp_path)
    study.adapter.processor.save_pretrained(tmp_path)
    found = importlib.import_module("detection").run(replace(study, other=str(tmp_path)))
    pairs = {(a, b): found["two writers"][f"from {a} to {b}"] for a in ("own", "other") for b in ("own", "other")}
    trees = importlib.import_module("texts").TREES
    for site in ("text.0", "text.1", "text.2"):
        assert pairs["own", "own"][site]["features"] == found["auc"][site][f"features, {trees}"]
    # Of so few texts trees of scikit-learn, where XGBoost is not installed, learn nothing; a probe of states does.
    learned = {pair: some["text.1"]["states"]["features"] for pair, some in pairs.items()}
    assert learned["own", "own"] == learned["own", "other"] != learned["other", "own"] == learned["other", "other"]
    for learned_from in ("own", "other"):
        assert pairs[learned_from, "own"] != pairs[learned_from, "other"]


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


def test_a_prompt_that_the_gate_shuts_out_is_answered_unsteered(study):
    gates = importlib.import_module("prompt_gate")
    shared = sys.modules["shared"]
    [dictionary, used] = study.bound[1]
    push = shared.pushed(feature_direction(dictionary, int(used.density.argmax()), used), 5 * used.norm)
    trials = study.trials(study.rows("plain.jsonl")[:4], "regex:.", 4, "gated")
    trials = replace(trials, reward=lambda one: str(one.output))
    opens = [True, False, False, True]
    probe = SimpleNamespace(score=lambda states: torch.tensor(opens).float(), threshold=0.5)
    given = gates.PromptGate(study, dictionary.site, probe).rewards(trials, push)
    plain, pushed = (trials.run(study.adapter, one).rewards for one in (Steering(), push))
    assert plain[0] != pushed[0]
    assert plain[1] != pushed[1]
    assert given == [there if opened else here for opened, there, here in zip(opens, pushed, plain, strict=True)]


def test_a_gate_is_learned_from_prompts_alone(study):
    gates = importlib.import_module("prompt_gate")
    rows = [study.rows("refusal.jsonl", label=label, split="training") for label in ("mild", "benign")]
    mild, benign = ([row.sample(study.adapter) for row in some] for some in rows)
    gate = gates.learned_gate(study, study.bound[1][0].site, mild, benign)
    opens = gate.opens([*mild, *benign])
    assert sum(opens[: len(mild)]) > 0.8 * len(mild)
    assert sum(opens[len(mild) :]) < 0.2 * len(benign)
    assert gate.opens([replace(one, output="Sorry, no.") for one in [*mild, *benign]]) == opens
