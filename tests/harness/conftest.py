"""A small model with directions on disk, as a harness is given them."""

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
