"""`mmsteer fold`, as a stranger types it."""

import sys

import pytest
import torch
from PIL import Image

from mmsteer.adapters import load
from mmsteer.cli import main
from mmsteer.direction_file import save_directions
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Direction, Sample, Site, SiteStats
from tests.adapters.checkpoints import save


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture
def planted(folder, tmp_path):
    """A model and the file of a direction at two of its sites and a block."""
    adapter = load(folder)
    vectors = {}
    for seed, text in enumerate(("text.0.mlp", "text.1.attention", "text.2")):
        draw = torch.randn(32, generator=torch.Generator().manual_seed(seed))
        vectors[Site.parse(text)] = draw / draw.norm()
    stats = {site: SiteStats(None, 0.0, 1.0, 1.0) for site in vectors}
    direction = Direction("hallucination:cup", vectors, stats, adapter.fingerprint)
    save_directions(tmp_path / "cup.safetensors", [direction])
    return adapter, direction, tmp_path / "cup.safetensors"


@pytest.fixture
def fold(monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mmsteer", "fold", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_folded_checkpoint_answers_as_the_edited_model(fold, folder, planted, tmp_path):
    adapter, direction, file = planted
    sites = "text.0.mlp, text.1.attention"
    words = ["--model", folder, "--directions", file, "--name", "hallucination:cup", "--out", tmp_path / "out"]
    code, out, _ = fold(*words, "--on", sites)
    assert code == 0
    assert "text.0.mlp: hallucination:cup (rank 1, weight changed by" in out
    reading = adapter.reading([Sample("one", "is there a cup", (Image.effect_noise((20, 30), 80).convert("RGB"),))])
    attribute = Attribute(direction, 1.0, sites=sites, operator="project_out")
    with steer(adapter, Steering((attribute,))):
        expected = adapter.read(reading)
    torch.testing.assert_close(load(tmp_path / "out").read(reading), expected, atol=1e-5, rtol=1e-4)
    assert (adapter.read(reading) - expected).abs().max() > 1e-4
    code, _, err = fold(*words, "--on", sites)
    assert (code, err.count("\n")) == (2, 1)
    assert "not overwritten" in err


def test_requests_that_cannot_be_served(fold, folder, planted, tmp_path):
    words = ["--model", folder, "--directions", planted[2], "--out", tmp_path / "out"]
    code, _, err = fold(*words, "--name", "hallucination:cup")
    assert code == 2
    assert "text.2 is the residual stream" in err
    assert "text.2.attention and text.2.mlp" in err
    code, _, err = fold(*words, "--name", "nothing")
    assert code == 2
    assert "choose from hallucination:cup" in err
    assert not (tmp_path / "out").exists()


def test_help_teaches_by_example(fold):
    code, out, _ = fold("--help")
    assert code == 0
    assert "mmsteer fold --model" in out
