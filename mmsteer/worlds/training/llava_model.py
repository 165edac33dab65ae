"""The bundled LLaVA while it is trained: tower and language model are finished, projector and LoRA are not."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPVisionModel, LlavaConfig, LlavaForConditionalGeneration, PreTrainedTokenizerBase

from mmsteer.bundled.llava import ADAPTER, ADAPTER_CONFIG, SIGHT, TEMPLATE, build, read_sight
from mmsteer.worlds.scenes import SIDE
from mmsteer.worlds.training.vision_model import FEATURE_LAYER, PATCH, build_images

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
"""The layers of the language model that a LoRA is put on."""
SCALE = 2
"""`lora_alpha` over the rank."""
_ADAPTED = "base_model.model.model."
# ChatML as the language model was tuned with, the picture on a line of its own, and no system prompt.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' }}"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content if part.type == 'image' %}{{ '<image>\\n' }}{% endfor %}"
    "{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}"
    "{% endif %}"
    "{{ '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def build_model(
    tower: CLIPVisionModel, language: Path, tokenizer: PreTrainedTokenizerBase
) -> LlavaForConditionalGeneration:
    """The model before training; nothing of it requires a gradient.

    Args:
        tower: The vision tower.
        language: Folder of the language model.
        tokenizer: From `read_tokenizer`.
    """
    config = LlavaConfig(
        vision_config=tower.config.to_dict(),
        vision_feature_layer=FEATURE_LAYER,
        vision_feature_select_strategy="default",
        image_seq_length=(SIDE // PATCH) ** 2,
    )
    model = build(config, language, tokenizer)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    return model.requires_grad_(False)


def add_lora(model: LlavaForConditionalGeneration, rank: int, seed: int) -> None:
    """Put a LoRA on the attention of the language model, in place; at first it changes nothing.

    Args:
        model: The model.
        rank: Rank of the LoRA.
        seed: Seed of its weights.
    """
    from peft import LoraConfig, inject_adapter_in_model  # slow to import, and an extra

    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=list(TARGETS), bias="none")
    inject_adapter_in_model(config, model.model.language_model)


def name_embeddings(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, names: list[str]
) -> Tensor:
    """What the language model reads at each name, the mean over its tokens, (names, width).

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        names: English nouns.
    """
    words = model.get_input_embeddings().weight.detach()
    return torch.stack([words[tokenizer(f" {name}", add_special_tokens=False).input_ids].mean(dim=0) for name in names])


def read_parts(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """Go on from the projector and the LoRA that `save_parts` wrote.

    Args:
        model: The model, changed in place; its LoRA has the same rank.
        folder: What was written.
    """
    read_sight(model, folder / SIGHT)
    state = model.model.language_model.state_dict()
    with torch.no_grad():
        for name, value in load_file(folder / ADAPTER).items():
            layer, half = name.removeprefix(_ADAPTED).rsplit(".", 1)
            state[f"{layer}.default.{half}"].copy_(value)


def save_parts(model: LlavaForConditionalGeneration, rank: int, folder: Path) -> None:
    """Write what ships: tower, projector and LoRA in float16, the configuration, and how pictures and prompts are read.

    Args:
        model: The trained model.
        rank: Rank of its LoRA; 0 for none.
        folder: Where to write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = model.model.state_dict()
    sight = {name: value for name, value in state.items() if name.startswith(("vision_tower.", "multi_modal_"))}
    save_file({name: _half(value) for name, value in sight.items()}, folder / SIGHT)
    # The language model's part is its own folder's.
    config = {name: value for name, value in model.config.to_diff_dict().items() if name != "text_config"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    build_images().save_pretrained(folder)
    (folder / TEMPLATE).write_text(CHAT_TEMPLATE)
    if rank:
        lora = {name: value for name, value in model.model.language_model.state_dict().items() if ".lora_" in name}
        named = {f"{_ADAPTED}{name.replace('.default', '')}": _half(one) for name, one in lora.items()}
        save_file(named, folder / ADAPTER)
        (folder / ADAPTER_CONFIG).write_text(json.dumps(_adapter_config(rank), indent=2) + "\n")


def _adapter_config(rank: int) -> dict[str, object]:
    return {
        "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": SCALE * rank,
        "target_modules": list(TARGETS),
        "bias": "none",
    }


def _half(value: Tensor) -> Tensor:
    return (value.half() if value.is_floating_point() else value).detach().contiguous()
