"""Models to time, twins that share their weights, and directions to steer them along."""

import copy
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, MusicgenForConditionalGeneration

import mmsteer
from mmsteer.types import Direction, Site, SiteStats

LENGTH = 0.02
"""How long every push is: short, so that what is said stays the same kind of thing."""


def twin(model: Any) -> Any:
    """The same weights in modules of their own, to be hooked and compiled apart.

    Args:
        model: The model.
    """
    shared = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in shared})


def language_part(vision: Any) -> Any:
    """The language model inside a LLaVA, alone.

    Args:
        vision: The adapter of the LLaVA.
    """
    model = LlamaForCausalLM(vision.model.config.text_config).eval()
    model.model.load_state_dict(vision.model.get_decoder().state_dict())
    model.lm_head.load_state_dict(vision.model.lm_head.state_dict())
    return model


def toy_llama(layers: int = 28, width: int = 64) -> Any:
    """A deep and narrow LLaMA with random weights, to count operators in.

    Args:
        layers: Blocks.
        width: Of the hidden state.
    """
    return _llama(layers, width, 2 * width, width // 32)


def llama_7b(blocks: int = 2) -> Any:
    """Some blocks of LLaMA-7B's shape with random weights; hardly any vocabulary, so that the blocks are the step.

    Args:
        blocks: How many of the 32.
    """
    return _llama(blocks, 4096, 11008, 32)


def _llama(layers: int, width: int, inner: int, heads: int) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=128,
        hidden_size=width,
        intermediate_size=inner,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        num_hidden_layers=layers,
        max_position_embeddings=512,
    )
    return LlamaForCausalLM(config).eval()


def musicgen_large(music: Any, layers: int = 1, **smaller: int) -> Any:
    """Some blocks of MusicGen-large's shape with random weights, between the text encoder and the codec of another.

    Args:
        music: The adapter of the other.
        layers: How many of the 48.
        smaller: Other sizes of the decoder, to try it.
    """
    torch.manual_seed(0)
    config = copy.deepcopy(music.model.config)
    shape = {"num_hidden_layers": layers, "hidden_size": 2048, "ffn_dim": 8192, "num_attention_heads": 32}
    shape |= smaller
    for name, value in shape.items():
        setattr(config.decoder, name, value)
    model = MusicgenForConditionalGeneration(config).eval()
    model.generation_config = music.model.generation_config
    model.audio_encoder = music.model.audio_encoder
    return model


def blocks(adapter: Any) -> list[Site]:
    """The blocks of the stack that makes the output.

    Args:
        adapter: The model.
    """
    return [site for site in adapter.sites if (site.stack, site.point) == (adapter.generator, "block")]


def heads(adapter: Any) -> list[Site]:
    """All attention heads of the stack that makes the output.

    Args:
        adapter: The model.
    """
    return list(adapter.select(f"{adapter.generator}.*.head.*"))


def direction(adapter: Any, sites: list[Site], seed: int) -> Direction:
    """A random unit vector at each of some sites.

    Args:
        adapter: The model.
        sites: Where.
        seed: Of the draw.
    """
    generator = torch.Generator().manual_seed(seed)
    draws = {site: torch.randn(adapter.widths[site], generator=generator) for site in sites}
    vectors = {site: (draw / draw.norm()).to(adapter.device) for site, draw in draws.items()}
    return Direction(f"any:{seed}", vectors, dict.fromkeys(sites, SiteStats(None, 0.0, 1.0, 1.0)), adapter.fingerprint)


def steering(adapter: Any, sites: list[Site], attributes: int, seed: int = 0, schedule: str = "constant(1)") -> Any:
    """Some attributes at once.

    Args:
        adapter: The model.
        sites: Where.
        attributes: How many.
        seed: Of the first one's direction.
        schedule: Of each.
    """
    found = [direction(adapter, sites, seed + one) for one in range(attributes)]
    when = mmsteer.parse_schedule(schedule)
    return mmsteer.Steering(tuple(mmsteer.Attribute(one, LENGTH, when) for one in found))
