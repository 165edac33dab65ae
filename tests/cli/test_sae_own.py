"""Every method of `mmsteer sae` on a plain language model, rows of one's own, and a dictionary of SAELens."""

import json

import pytest
import torch

from mmsteer.adapters import load
from mmsteer.types import Site
from tests.latents.owned import components, llama_folder, rarer, rows_file, sae_lens_folder, states_of, texts

SAID = texts(64)
ANSWERS = texts(64, seed=1)
REWARD = "regex:^[a-r]"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model, rows, and dictionaries of two layers."""
    home = tmp_path_factory.mktemp("own")
    model = llama_folder(home / "llama")
    adapter = load(model)
    whole = [f"{a} {b}" for a, b in zip(SAID, ANSWERS, strict=True)]
    for layer in (1, 2):
        site = Site("text", layer)
        tensors = rarer(components(adapter, whole, site, 16), states_of(adapter, whole, site))
        sae_lens_folder(home / f"sae{layer}", tensors, f"blocks.{layer}.hook_resid_post")
    rows = [
        {"id": at, "prompt": said, "answer": answer, "label": "instructed" if at % 2 else "plain", "group": at // 2}
        for at, (said, answer) in enumerate(zip(SAID, ANSWERS, strict=True))
    ]
    rows_file(home / "rows.jsonl", rows)
    rows_file(home / "unlabelled.jsonl", [{"prompt": said, "answer": a} for said, a in zip(SAID, ANSWERS, strict=True)])
    shown = {"id": "shown", "prompt": SAID[0], "answer": " ".join(ANSWERS[:4]), "label": "archetype"}
    rows_file(home / "shown.jsonl", [*({**row, "label": None} for row in rows), shown])
    return home


@pytest.fixture
def sae(mmsteer, home):
    def run(command, *words, data="rows.jsonl", dictionaries=("sae2",)):
        folders = [home / name for name in dictionaries]
        given = [] if data is None else ["--data", home / data]
        return mmsteer("sae", command, *folders, "--model", home / "llama", *given, *words)

    return run


REWARDED = ("--reward", REWARD, "--tokens", 6, "--json")
METHODS = {
    "scores": ("scores", "--drawn", 2, "--tokens", 6, "--json"),
    "evaluate": ("evaluate", *range(32, 40), "--tokens", 6, "--json"),
    "detect": ("detect", "--json"),
    "corrsteer": ("corrsteer", *REWARDED),
    "saif": ("saif", "--least", 0, *REWARDED),
    "lf": ("lf", "--k", 3, "--label", "instructed", *REWARDED),
    "lf, own answers": ("lf", "--k", 3, *REWARDED),
    "effects": ("effects", "--target", "sae:33", "--rows", 4, "--random", 4, "--test", 3, "--tokens", 6, "--json"),
    "effects, raw": ("effects", "--target", "sae:33", "--rows", 4, "--random", 4, "--test", 3, "--tokens", 6, "--raw"),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_ends_with_a_result(sae, name):
    code, out, err = sae(*METHODS[name])
    assert code == 0, err
    assert out
    if "--json" in METHODS[name]:
        assert json.loads(out)


def test_clamping_takes_a_labelled_archetype(sae):
    code, out, err = sae("clamp", "--candidates", 2, *REWARDED, data="shown.jsonl")
    assert code == 0, err
    assert "held at" in json.loads(out)["chosen"]


def test_flow_steers_and_reads_a_feature(sae):
    words = ("--site", "text.1", "--steer", "sae:33", "--n", 3, "--tokens", 6, "--json")
    code, out, err = sae("flow", *words, dictionaries=("sae1", "sae2"))
    assert code == 0, err
    assert "text.1" in json.loads(out)["flow"]


def test_measure_browse_and_train(sae, mmsteer, home, tmp_path):
    assert sae("measure")[0] == 0
    code, _, err = sae("browse", "--out", tmp_path / "page", "--features", 2, "--steered", 1)
    assert code == 0, err
    words = ("--site", "text.1", "--features", 16, "--k", 2, "--steps", 5, "--batch", 32, "--quiet")
    data = ("--model", home / "llama", "--data", home / "rows.jsonl", "--out", tmp_path / "mine")
    code, _, err = mmsteer("sae", "train", *data, *words)
    assert code == 0, err


def refused(result, *parts):
    code, out, err = result
    assert code == 2
    assert not out
    assert err.startswith("error: ")
    for part in parts:
        assert part in err


@pytest.fixture
def no_compute(monkeypatch):
    def compute(*_, **__):
        raise AssertionError("the model has run")

    monkeypatch.setattr(torch.nn.Module, "__call__", compute)


@pytest.mark.usefixtures("no_compute")
def test_what_cannot_work_is_refused_before_the_model_runs(sae, home, tmp_path):
    rows_file(home / "silent.jsonl", [{"prompt": "a"}, {"answer": "b"}])
    refused(sae("corrsteer", *REWARDED, data="silent.jsonl"), "silent.jsonl:2", "no text")
    refused(sae("corrsteer", "--reward", "pirates"), "pirates")
    refused(sae("corrsteer", "--reward", "note:C"), "reads audio")
    refused(sae("corrsteer", "--reward", "grounded"), "'objects', and no row has it")
    refused(sae("hallucination"), "no 'image'")
    refused(sae("attributes", "--concept", "tempo"), "no row has audio")
    refused(sae("attributes"), "give --concept")
    refused(sae("detect", data="unlabelled.jsonl"), "no label")
    refused(sae("saif", *REWARDED, data="unlabelled.jsonl"), "no label")
    refused(sae("lf", "--label", "wanted", *REWARDED), "'wanted'")
    wide = {"W_enc": torch.ones(7, 9), "b_enc": torch.ones(9), "W_dec": torch.ones(9, 7), "b_dec": torch.ones(7)}
    sae_lens_folder(home / "wide", wide, "blocks.2.hook_resid_post")
    refused(sae("scores", dictionaries=("wide",)), "width 7")


def test_a_wrong_layer_is_refused_with_the_right_one(sae):
    refused(sae("corrsteer", *REWARDED, "--site", "text.3"), "give --site text.2")


@pytest.mark.parametrize("command", ["scores", "evaluate", "detect"])
def test_a_language_model_asks_for_data(sae, command):
    refused(sae(command, "--site", "text.2", data=None), "--data rows.jsonl")


@pytest.mark.parametrize("command", ["clamp", "corrsteer", "saif", "lf"])
def test_neither_world_nor_data(sae, command):
    refused(sae(command, "--reward", "contains:a", data=None), "--data rows.jsonl")
    code, _, err = sae(command, data=None)
    assert code == 2
    assert "--reward" in err
