"""The bundled vision-language model before training: real classes, small sizes, one folder."""

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from mmsteer.worlds.scenes import SIDE

PAD, BOS, EOS, UNKNOWN, IMAGE = "<pad>", "<s>", "</s>", "<unk>", "<image>"
PATCH = 12
# The hidden state that the language model sees: not the last one, as in LLaVA.
FEATURE_LAYER = -2
MAX_TOKENS = 512
MAX_NEW_TOKENS = 96
# Turns as LLaVA-1.5 has them: the user's with the picture on a line of its own, the assistant's closed by EOS.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ message.role | upper }}: "
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content if part.type == 'image' %}<image>\n{% endfor %}"
    "{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}"
    "{% endif %}"
    "{{ '</s>' if message.role == 'assistant' else ' ' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words and punctuation marks, opened by `<s>`; unknown words are `<unk>`.

    Args:
        texts: Texts that show the vocabulary.
    """
    splitter = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), behavior="removed", invert=True)
    words = {word for text in set(texts) for word, _ in splitter.pre_tokenize_str(text)} | {"USER", "ASSISTANT", ":"}
    special = [PAD, BOS, EOS, UNKNOWN, IMAGE]
    vocabulary = {word: index for index, word in enumerate([*special, *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = splitter
    # No word starts with two hashes: this joins words by spaces and draws punctuation to the word before it.
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, vocabulary[BOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNKNOWN,
        additional_special_tokens=[IMAGE],
        model_max_length=MAX_TOKENS,
        padding_side="left",
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """LLaVA's processor for pictures of the world's size.

    Args:
        tokenizer: From `train_tokenizer`.
    """
    return LlavaProcessor(
        build_images(),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
        num_additional_image_tokens=1,
    )


def build_images() -> CLIPImageProcessor:
    """The image processor for pictures of the world's size."""
    return CLIPImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=[0.5] * 3,
        image_std=[0.25] * 3,
    )


def build_tower(*, layers: int, width: int) -> CLIPVisionModel:
    """An untrained CLIP tower.

    Args:
        layers: Blocks; the last one is not part of what the language model sees.
        width: Width; a multiple of 32, the width of a head.
    """
    return CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            image_size=SIDE,
            patch_size=PATCH,
            projection_dim=width,
        )
    )


def build_model(
    tower: CLIPVisionModel, tokenizer: PreTrainedTokenizerFast, *, layers: int, width: int
) -> LlavaForConditionalGeneration:
    """A model of the LLaVA family around a tower; projector and language model are untrained.

    Args:
        tower: The vision tower.
        tokenizer: Whose vocabulary it speaks.
        layers: Decoder layers.
        width: Width of the decoder; a multiple of 32, the width of a head.
    """
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id}
    ids |= {"eos_token_id": tokenizer.eos_token_id}
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        max_position_embeddings=MAX_TOKENS,
        tie_word_embeddings=True,
        **ids,
    )
    config = LlavaConfig(
        vision_config=tower.config.to_dict(),
        text_config=text.to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=FEATURE_LAYER,
        vision_feature_select_strategy="default",
        image_seq_length=(SIDE // PATCH) ** 2,
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.generation_config = GenerationConfig(max_new_tokens=MAX_NEW_TOKENS, do_sample=False, **ids)
    return model


def save_model(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Write the from_pretrained folder: matrices as bfloat16, vectors as float32, to be loaded as float32.

    Args:
        model: The model.
        processor: Its processor.
        folder: Where to write.
    """
    state = {
        _portable(name): value.to(torch.bfloat16) if value.ndim > 1 and value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    model.save_pretrained(folder, state_dict=state)
    processor.save_pretrained(folder)


def _portable(name: str) -> str:
    """The name of a weight that every release of transformers reads: older ones know no other for the tower's."""
    return re.sub(r"vision_tower\.(?!vision_model\.)", "vision_tower.vision_model.", name)
