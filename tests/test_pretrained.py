"""Folders of models from anywhere: no code of theirs runs, no pickle is read, and one error names the file."""

import builtins
import json
import shutil

import pytest
import torch

from mmsteer.adapters import load
from mmsteer.errors import AdapterError
from tests.adapters.checkpoints import save

CODE = """
from pathlib import Path
from transformers import LlavaProcessor, PretrainedConfig

Path(__file__).with_name("ran").touch()
Path({marker!r}).touch()


class Stranger(LlavaProcessor):
    pass


class StrangerConfig(PretrainedConfig):
    model_type = "stranger"
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save("llava", tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "model")


def changed(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.fixture
def marker(folder, tmp_path, monkeypatch):
    """A file that the folder's code makes when it runs; who is asked agrees."""
    monkeypatch.setattr(builtins, "input", lambda *asked: "y")
    (folder / "stranger.py").write_text(CODE.format(marker=str(tmp_path / "ran")))
    return tmp_path / "ran"


@pytest.mark.parametrize(
    ("file", "entries"),
    [
        ("config.json", {"model_type": "stranger", "auto_map": {"AutoConfig": "stranger.StrangerConfig"}}),
        (
            "processor_config.json",
            {"processor_class": "Stranger", "auto_map": {"AutoProcessor": "stranger.Stranger"}},
        ),
        (
            "tokenizer_config.json",
            {"tokenizer_class": "Stranger", "auto_map": {"AutoTokenizer": ["stranger.Stranger", None]}},
        ),
    ],
)
def test_code_of_a_folder_never_runs_and_nobody_is_asked(folder, marker, file, entries):
    changed(folder / file, **entries)
    try:
        load(folder)
    except AdapterError as refused:
        assert "code of its own (`auto_map`), which mmsteer never does" in str(refused)  # noqa: PT017
    else:
        assert file == "tokenizer_config.json", "transformers takes its own class there"
    assert not marker.exists()


def test_a_folder_with_code_beside_a_class_of_transformers_is_loaded_without_it(folder, marker):
    changed(folder / "config.json", auto_map={"AutoConfig": "stranger.StrangerConfig"})
    assert load(folder).widths
    assert not marker.exists()


def test_pickled_weights_are_refused_by_name(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"a": torch.ones(2)}, folder / "pytorch_model.bin")
    with pytest.raises(AdapterError, match=r"pytorch_model.bin is pickled weights, .* write safetensors with"):
        load(folder)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "{", r"config.json:1: not JSON"),
        ("config.json", "[" * 100_000, r"config.json:1: more than 100 lists"),
        ("config.json", "{}", r"cannot load a model from"),
        ("tokenizer.json", "{}", r"tokenizer.json is no tokenizer"),
        ("tokenizer.json", '{"model": {}, "added_tokens": []}', r"tokenizer.json: Exception: "),
        ("tokenizer_config.json", "{", r"tokenizer_config.json:1: not JSON"),
        ("processor_config.json", "{", r"processor_config.json:1: not JSON"),
        ("model.safetensors", "", r"model.safetensors is damaged"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "gone.safetensors"}}', r"names gone.safetensors"),
        ("model.safetensors.index.json", "[]", r"has no weight_map"),
    ],
)
def test_a_damaged_file_is_named(folder, file, content, message):
    if file.endswith("index.json"):
        (folder / "model.safetensors").unlink()
    (folder / file).write_text(content)
    with pytest.raises(AdapterError, match=message) as caught:
        load(folder)
    assert len(str(caught.value)) < 1500


def test_weights_that_are_missing_are_not_drawn_at_random(folder):
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(AdapterError, match=r"the weights lack .*layers.3.* which would be random"):
        load(folder)


def test_layers_without_number_are_refused_before_they_are_made(folder):
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 2**31
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(AdapterError, match=r"'num_hidden_layers' is 2147483648; a model has at most 10000"):
        load(folder)
