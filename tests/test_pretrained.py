"""Folders of models from anywhere: no code of theirs runs, no pickle is read, and one error names the file."""

import builtins
import importlib
import json
import shutil
import sys

import pytest
import torch
import transformers

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


@pytest.mark.parametrize("count", [2**31, 9999])
def test_layers_without_number_are_refused_before_they_are_made(folder, count):
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = count
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(AdapterError, match=rf"'num_hidden_layers' is {count}; a model has at most 1000 layers"):
        load(folder)


def test_numbers_that_count_no_layers_are_let_alone(folder):
    changed(folder / "config.json", vocab_size_per_layer_input=262_144)  # as Gemma 3n has it
    assert load(folder).widths


KERNELS = """
from pathlib import Path

Path({marker!r}).touch()


def __getattr__(name):
    Path({marker!r}).write_text(name)
    return lambda *given, **named: __import__("types").ModuleType("kernel")
"""


@pytest.mark.parametrize("name", ["attacker/evil-attn", "kernels-community/flash-attn@main:f", "paged|attacker/evil"])
@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "_attn_implementation_internal"])
@pytest.mark.parametrize("part", [None, "text_config", "of parts"])
def test_a_configuration_that_names_a_program_of_the_hub_is_refused(folder, tmp_path, monkeypatch, name, key, part):
    marker = tmp_path / "ran"
    (tmp_path / "kernels.py").write_text(KERNELS.format(marker=str(marker)))
    monkeypatch.syspath_prepend(tmp_path)
    hub_kernels = importlib.import_module("transformers.integrations.hub_kernels")
    modeling = importlib.import_module("transformers.modeling_utils")
    monkeypatch.setattr(modeling, "lazy_import_flash_attention", lambda *_, **__: importlib.import_module("kernels"))
    assert hub_kernels.is_kernel(name.removeprefix("paged|"))
    config = json.loads((folder / "config.json").read_text())
    (config[part] if part == "text_config" else config)[key] = {"text_config": name} if part == "of parts" else name
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(AdapterError, match=r"config.json: '\w+' names '.*', a program on the hub, which mmsteer never"):
        load(folder)
    assert not marker.exists()
    assert "kernels" not in sys.modules


def test_a_name_on_the_hub_is_judged_by_its_configuration_too(folder, monkeypatch):
    changed(folder / "config.json", attn_implementation="attacker/evil-attn")
    monkeypatch.setattr(transformers.utils, "cached_file", lambda name, file: str(folder / file))
    with pytest.raises(AdapterError, match="names 'attacker/evil-attn', a program on the hub"):
        load("attacker/model")


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "a\0"])
def test_a_name_that_no_folder_can_have(name):
    with pytest.raises(AdapterError, match="there is no such folder"):
        load(name)
