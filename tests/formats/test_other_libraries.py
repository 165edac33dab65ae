"""The other library adds what mmsteer adds, token by token: installed beside, or skipped.

uv pip install --no-deps --target SITE repeng==0.4.0 steering-vectors==0.12.2 dialz==1.1.4 seaborn
PYTHONPATH=SITE pytest tests/formats/test_other_libraries.py
"""

import copy
import warnings

import numpy as np
import pytest
import torch

import mmsteer
from mmsteer.api import parse_steering
from mmsteer.formats import load_directions, save_directions, save_steering
from mmsteer.types import Site
from tests.conftest import planted

PROMPT = {"talker": "say the red cup", "smollm2": "The weather in the mountains today is"}
STRENGTH = {"talker": 4.0, "smollm2": 30.0}
LAYERS = [1, 2]


@pytest.fixture(params=["talker", "smollm2"])
def adapter(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def inputs(adapter):
    return adapter.processor(_of(PROMPT, adapter), return_tensors="pt", return_token_type_ids=False)


def _of(table, adapter):
    return table["talker" if len(adapter.sites) == 4 else "smollm2"]


@pytest.fixture
def given(adapter):
    """Vectors of lengths of their own, as repeng or steering-vectors would have found them."""
    rng = np.random.default_rng(0)
    width = adapter.widths[Site("text", 1)]
    return {layer: rng.normal(size=width).astype(np.float32) * (layer + 1) for layer in LAYERS}


def tokens(model, inputs):
    return model.generate(**inputs, max_new_tokens=12, do_sample=False)[0].tolist()


@pytest.fixture
def repeng():
    np.float_ = np.float64  # repeng 0.4.0 names it, and NumPy 2 has taken it away
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("repeng")
    del np.float_


def theirs(repeng, adapter, inputs, vector, coefficient):
    wrapped = repeng.ControlModel(copy.deepcopy(adapter.model), list(vector.directions))
    wrapped.set_control(vector, coefficient)
    return tokens(wrapped, inputs)


def test_a_file_of_repeng(repeng, adapter, inputs, given, tmp_path):
    vector = repeng.ControlVector("llama", given)
    vector.export_gguf(tmp_path / "happy.gguf")
    coefficient = _of(STRENGTH, adapter) / float(np.linalg.norm(given[1]))
    expected = theirs(repeng, adapter, inputs, vector, coefficient)
    with mmsteer.steer(adapter, f"happy {coefficient} trained", tmp_path / "happy.gguf"):
        assert tokens(adapter.model, inputs) == expected
    assert tokens(adapter.model, inputs) != expected
    if len(adapter.sites) == 4:
        return  # a small model of random weights says the same whichever layer is pushed
    # One layer beside, which is where an index that starts at 1 would put it.
    moved = load_directions(tmp_path / "happy.gguf")["happy"]
    beside = {Site("text", site.layer - 1): one for site, one in moved.vectors.items()}
    stats = {Site("text", site.layer - 1): one for site, one in moved.stats.items()}
    other = mmsteer.Direction("happy", beside, stats, moved.model, compatibility="dimension")
    with mmsteer.steer(adapter, f"happy {coefficient} trained", {"happy": other}):
        assert tokens(adapter.model, inputs) != expected


def test_a_file_for_repeng(repeng, adapter, inputs, tmp_path):
    norm = _of(STRENGTH, adapter)
    known = {one.name: one for one in (planted(adapter, name, LAYERS, seed, norm) for seed, name in enumerate("ab"))}
    with mmsteer.steer(adapter, "a 0.5", known):
        expected = tokens(adapter.model, inputs)
    save_directions(tmp_path / "a.gguf", [known["a"]], hint="llama")
    assert theirs(repeng, adapter, inputs, repeng.ControlVector.import_gguf(tmp_path / "a.gguf"), 0.5) == expected
    line = "a 0.5 on text.1; b -10%; a 2abs"
    with mmsteer.steer(adapter, line, known):
        expected = tokens(adapter.model, inputs)
    save_steering(tmp_path / "line.gguf", parse_steering(line, known))
    assert theirs(repeng, adapter, inputs, repeng.ControlVector.import_gguf(tmp_path / "line.gguf"), 1.0) == expected
    assert tokens(adapter.model, inputs) != expected


@pytest.mark.parametrize("part", ["decoder_block", "mlp", "self_attn"])
def test_files_of_steering_vectors(adapter, inputs, given, tmp_path, part):
    library = pytest.importorskip("steering_vectors")
    vector = library.SteeringVector({layer: torch.from_numpy(one) for layer, one in given.items()}, part)
    multiplier = _of(STRENGTH, adapter) / float(np.linalg.norm(given[1]))
    with vector.apply(adapter.model, multiplier=multiplier):
        expected = tokens(adapter.model, inputs)
    torch.save(vector.layer_activations, tmp_path / "v.pt")
    point = {"decoder_block": "block", "mlp": "mlp", "self_attn": "attention"}[part]
    known = load_directions(tmp_path / "v.pt", places=mmsteer.formats.Places(point=point))
    with mmsteer.steer(adapter, f"v {multiplier} trained", known):
        assert tokens(adapter.model, inputs) == expected
    assert tokens(adapter.model, inputs) != expected
    save_directions(tmp_path / "back.pt", known.values())
    back = library.SteeringVector(torch.load(tmp_path / "back.pt", weights_only=True), part)
    with back.apply(adapter.model, multiplier=multiplier):
        assert tokens(adapter.model, inputs) == expected


def test_files_of_dialz(adapter, inputs, given, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dialz = pytest.importorskip("dialz.vector")
    dialz.SteeringVector("llama", given).export_gguf(tmp_path / "v.gguf")
    known = load_directions(tmp_path / "v.gguf")
    save_directions(tmp_path / "back.gguf", known.values(), format="dialz", hint="llama")
    back = dialz.SteeringVector.import_gguf(tmp_path / "back.gguf")
    assert back.model_type == "llama"
    layers = copy.deepcopy(adapter.model)
    coefficient = _of(STRENGTH, adapter) / float(np.linalg.norm(given[1]))
    for layer in LAYERS:
        block = dialz.SteeringModule(layers.model.layers[layer])
        block.set_control(dialz.BlockControlParams(coefficient * torch.tensor(back.directions[layer])))
        layers.model.layers[layer] = block
    expected = tokens(layers, inputs)
    with mmsteer.steer(adapter, f"v {coefficient} trained", known):
        assert tokens(adapter.model, inputs) == expected
    assert tokens(adapter.model, inputs) != expected
