import json
import re

import numpy as np
import pytest
import torch

import mmsteer as public
from mmsteer.formats import load_directions, save_directions
from mmsteer.formats.gguf_file import gguf_bytes
from mmsteer.types import Site
from tests.conftest import planted


@pytest.fixture
def happy(tmp_path):
    fields = {"general.architecture": "controlvector", "controlvector.model_hint": "llama"}
    vectors = {f"direction.{layer}": torch.full((32,), float(layer)) for layer in (1, 3)}
    (tmp_path / "happy.gguf").write_bytes(gguf_bytes(fields, vectors))
    return tmp_path / "happy.gguf"


def test_from_another_library(mmsteer, talker, talker_folder, happy, tmp_path):
    code, out, err = mmsteer("convert", happy, tmp_path / "own.safetensors", "--model", talker_folder)
    assert (code, err) == (0, "")
    assert "happy at text.1 to text.3, 2 sites" in out
    assert "compatibility dimension" in out
    line = re.search(r"--steer '([^']*)'", out)[1]
    (one,) = load_directions(tmp_path / "own.safetensors").values()
    assert one.is_measured
    assert one.stats[Site("text", 3)].length == pytest.approx(3 * 32**0.5)
    with public.steer(talker, line, tmp_path / "own.safetensors") as session:
        talker.generate(["say the red cup"], public.Sampling(tokens=4))
    assert session.receipt().compatibility == "dimension"
    # The file itself steers as well, without a norm to take fractions of.
    words = ["generate", "--model", talker_folder, "--prompt", "say the cup", "--tokens", "2", "--directions", happy]
    assert mmsteer(*words, "--steer", "happy 1trained")[0] == 0
    code, _, err = mmsteer(*words, "--steer", "happy 0.1")
    assert (code, "was not measured" in err) == (2, True)


def test_for_another_library(mmsteer, talker, talker_folder, tmp_path):
    save_directions(tmp_path / "d.safetensors", [planted(talker, "style:pirate", [1, 2], norm=10.0)])
    words = ["convert", tmp_path / "d.safetensors", tmp_path / "p.svec", "--model", talker_folder]
    code, out, _ = mmsteer(*words)
    assert code == 0
    assert "lost: scores, typical norms, provenance" in out
    assert "C = 1 adds what --steer 'style:pirate 1' adds" in out
    made = json.loads((tmp_path / "p.svec").read_text())
    assert made["model_type"] == "llama"
    assert np.linalg.norm(made["directions"]["2"]) == pytest.approx(10)
    assert mmsteer(*words)[0] == 2
    code, out, _ = mmsteer(*words, "--force", "--steer", "style:pirate 0.3 on text.2")
    assert (code, "C = 1 adds what --steer 'style:pirate 0.3 on text.2' adds" in out) == (0, True)
    made = json.loads((tmp_path / "p.svec").read_text())["directions"]
    assert made.keys() == {"2"}
    assert np.linalg.norm(made["2"]) == pytest.approx(3)
    code, _, err = mmsteer(*words, "--force", "--steer", "style:pirate 0.3 fade-in 0..4s at generated")
    assert (code, "schedule" in err, "positions" in err) == (2, True, True)


def test_layers_that_the_model_does_not_have(mmsteer, talker_folder, tmp_path):
    torch.save({layer: torch.ones(32) for layer in range(1, 5)}, tmp_path / "states.pt")
    words = ["convert", tmp_path / "states.pt", tmp_path / "own.safetensors", "--model", talker_folder]
    code, _, err = mmsteer(*words)
    assert (code, "--counted hidden_states" in err) == (2, True)
    code, out, _ = mmsteer(*words, "--counted", "hidden_states", "--rename", "object:cup")
    assert (code, "object:cup at text.0 to text.3" in out) == (0, True)
    np.save(tmp_path / "rows.npy", np.ones((2, 32), np.float32))
    words = ["convert", tmp_path / "rows.npy", tmp_path / "rows.gguf"]
    code, _, err = mmsteer(*words)
    assert (code, "--layers" in err or "layers=" in err) == (2, True)
    assert mmsteer(*words, "--layers", "1,3")[0] == 0
    assert list(map(str, load_directions(tmp_path / "rows.gguf")["rows"].sites)) == ["text.1", "text.3"]
