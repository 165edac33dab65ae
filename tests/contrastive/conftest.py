"""A padded batch of two prompts with different images, for small random models."""

import pytest
import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

IMAGE, PAD, END = 40, 0, 2


def tiny_llava() -> LlavaForConditionalGeneration:
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=8, patch_size=4
    )
    text = LlamaConfig(
        vocab_size=48,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.3,  # otherwise images hardly matter
        pad_token_id=PAD,
        bos_token_id=1,
        eos_token_id=END,
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=IMAGE)
    return LlavaForConditionalGeneration(config).eval()


@pytest.fixture(scope="session")
def llava(tmp_path_factory) -> LlavaForConditionalGeneration:
    folder = tmp_path_factory.mktemp("llava")
    tiny_llava().save_pretrained(folder)
    return LlavaForConditionalGeneration.from_pretrained(folder).eval()


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    """The prompts differ in length, the images differ, and the shorter prompt is padded on the left."""
    prompt = [[PAD, PAD, 1, *[IMAGE] * 4, 5, 6], [1, 7, 8, *[IMAGE] * 4, 9, 10]]
    ids = torch.tensor(prompt)
    pixels = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(7))
    return {"input_ids": ids, "attention_mask": (ids != PAD).long(), "pixel_values": pixels}


@pytest.fixture
def confused(inputs) -> dict[str, torch.Tensor]:
    """The same with three words before each prompt, so that the two contexts differ in length."""
    prompt = [[PAD, PAD, 1, 11, 12, 13, *[IMAGE] * 4, 5, 6], [1, 11, 12, 13, 7, 8, *[IMAGE] * 4, 9, 10]]
    ids = torch.tensor(prompt)
    return {**inputs, "input_ids": ids, "attention_mask": (ids != PAD).long()}
