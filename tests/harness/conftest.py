"""A small model with directions on disk, as a harness is given them, and the entry points of an installed mmsteer."""

import tomllib
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import mmsteer
from mmsteer.types import Direction, Site, SiteStats
from tests.adapters.checkpoints import TEXT, tokenizer


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A language model whose every token is a word."""
    folder, words = tmp_path_factory.mktemp("llama"), tokenizer()
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**TEXT | {"vocab_size": len(words)})).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def file(folder, tmp_path_factory):
    adapter = mmsteer.load(folder)
    generator = torch.Generator().manual_seed(0)
    sites = [Site("text", 0), Site("text", 1)]
    draws = {site: torch.randn(adapter.widths[site], generator=generator) for site in sites}
    vectors = {site: draw / draw.norm() for site, draw in draws.items()}
    stats = {site: SiteStats(0.9, 0.0, 1.0, 1.0) for site in sites}
    path = tmp_path_factory.mktemp("directions") / "says.safetensors"
    mmsteer.save_directions(path, [Direction("says:yes", vectors, stats, adapter.fingerprint)])
    return str(path)


@pytest.fixture(scope="session")
def entry_points(tmp_path_factory):
    """A folder that makes the entry points of pyproject.toml known, as an installed wheel does."""
    groups = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["entry-points"]
    folder = tmp_path_factory.mktemp("site")
    info = folder / "mmsteer_points-0.dist-info"
    info.mkdir()
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in found.items())
        for group, found in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mmsteer-points\nVersion: 0\n")
    return folder
