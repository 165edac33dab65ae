"""Small vision-language models of the real classes, randomly initialised and saved with their processors."""

from collections.abc import Callable
from pathlib import Path

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
WORDS = ("user", "assistant", ":", "a", "the", "image", "shows", "describe", "is", "there", "cup", "table", "yes", "no")
IMAGE = SPECIAL.index("<image>")
TEMPLATE = (
    "{% for message in messages %}{{ message.role }} : {% for part in message.content %}"
    "{{ '<image>' if part.type == 'image' else part.text }} {% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)
TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
PIXELS = {"height": 16, "width": 16}


def tokenizer(*more: str, **options) -> hf.PreTrainedTokenizerFast:
    """Words and punctuation, the special tokens first.

    Args:
        more: Further special tokens.
        options: Of the tokenizer.
    """
    special = (*SPECIAL, *more)
    vocabulary = {word: place for place, word in enumerate((*special, *WORDS))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    made = hf.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=list(special[4:]),
        **options,
    )
    return made


def llava(**text) -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """LLaVA-1.5: CLIP, the layer before the last, without its class token; its tower is deeper than its decoder."""
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**VISION),
        text_config=hf.LlamaConfig(**TEXT | text),
        image_token_index=IMAGE,
    )
    pixels = hf.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=PIXELS)
    processor = hf.LlavaProcessor(
        pixels,
        tokenizer(),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    return hf.LlavaForConditionalGeneration(config), processor


FAMILIES: dict[str, Callable[[], tuple[hf.PreTrainedModel, object]]] = {"llava": llava}


def save(family: str, folder: Path) -> Path:
    """One family's model and processor, as a checkpoint.

    Args:
        family: Its name here.
        folder: Where to put it.
    """
    torch.manual_seed(0)
    model, processor = FAMILIES[family]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
