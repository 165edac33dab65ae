"""The bundled music model before training: real classes, small sizes, one folder."""

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    EncodecConfig,
    EncodecFeatureExtractor,
    EncodecModel,
    GenerationConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForCausalLM,
    MusicgenForConditionalGeneration,
    MusicgenProcessor,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from mmsteer.worlds.training.codec import SAMPLE_RATE

PAD, EOS, UNKNOWN = "<pad>", "</s>", "<unk>"
MAX_PROMPT_TOKENS = 32
# The file size a shard keeps below, so that the model travels where single files are limited.
MAX_SHARD = "14MB"


def train_tokenizer(prompts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A T5-style tokenizer of whole words: lower case, closed by `</s>`, unknown words as `<unk>`.

    Args:
        prompts: Prompts that show the vocabulary.
    """
    words = {word for prompt in prompts for word in _words(prompt)}
    vocabulary = {word: index for index, word in enumerate([PAD, EOS, UNKNOWN, *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = _NORMALIZER
    tokenizer.pre_tokenizer = _SPLITTER
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, vocabulary[EOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        model_max_length=MAX_PROMPT_TOKENS,
        padding_side="right",
    )


def tokenise(tokenizer: PreTrainedTokenizerFast, prompts: list[str]) -> Tensor:
    """Token ids of the prompts, (prompts, words), 0 for padding.

    Args:
        tokenizer: From `train_tokenizer`; left as it was, because it would save its last padding with itself.
        prompts: What to read.
    """
    ids = tokenizer(prompts, padding=True, return_tensors="pt").input_ids
    tokenizer.backend_tokenizer.no_padding()
    return ids


def build_model(
    codec: EncodecModel, vocabulary: int, frames: int, *, layers: int, width: int
) -> MusicgenForConditionalGeneration:
    """An untrained model around a codec, in the layout of the MusicGen family.

    Args:
        codec: The audio encoder, from `build_codec`.
        vocabulary: Words that the tokenizer knows.
        frames: Frames of a clip.
        layers: Decoder layers.
        width: Width of the decoder; a multiple of 64, the width of a head.
    """
    text = T5EncoderModel(_text_config(vocabulary))
    decoder = MusicgenForCausalLM(_decoder_config(codec.config, layers, width))
    config = MusicgenConfig(
        text_encoder=text.config.to_dict(), audio_encoder=codec.config.to_dict(), decoder=decoder.config.to_dict()
    )
    model = MusicgenForConditionalGeneration(config=config, text_encoder=text, audio_encoder=codec, decoder=decoder)
    model.generation_config = GenerationConfig(
        do_sample=True,
        top_k=50,
        guidance_scale=3.0,
        # MusicGen's generate adds the start column to a configured length; the last codebook is delayed.
        max_length=frames + codec.config.num_quantizers - 1,
        bos_token_id=codec.config.codebook_size,
        pad_token_id=codec.config.codebook_size,
        decoder_start_token_id=codec.config.codebook_size,
    )
    return model


def save_model(model: MusicgenForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the from_pretrained folder: matrices as bfloat16, vectors as float32, to be loaded as float32.

    The biases and gains of the codec need float32; they are few.

    Args:
        model: The model; its parameters are rounded in place.
        tokenizer: Its tokenizer.
        folder: Where to write.
    """
    state = {
        name: value.to(torch.bfloat16) if value.squeeze().ndim > 1 and value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    model.save_pretrained(folder, state_dict=state, max_shard_size=MAX_SHARD)
    extractor = EncodecFeatureExtractor(feature_size=1, sampling_rate=SAMPLE_RATE, padding_side="left")
    MusicgenProcessor(extractor, tokenizer).save_pretrained(folder)


_NORMALIZER = normalizers.Lowercase()
_SPLITTER = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), behavior="removed", invert=True)


def _words(prompt: str) -> list[str]:
    return [word for word, _ in _SPLITTER.pre_tokenize_str(_NORMALIZER.normalize_str(prompt))]


def _text_config(vocabulary: int) -> T5Config:
    return T5Config(
        vocab_size=vocabulary,
        d_model=128,
        d_kv=32,
        d_ff=256,
        num_layers=3,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        use_cache=False,
        is_encoder_decoder=False,
        tie_word_embeddings=True,
    )


def _decoder_config(codec: EncodecConfig, layers: int, width: int) -> MusicgenDecoderConfig:
    return MusicgenDecoderConfig(
        vocab_size=codec.codebook_size,
        max_position_embeddings=2048,
        num_hidden_layers=layers,
        ffn_dim=2 * width,
        num_attention_heads=width // 64,
        hidden_size=width,
        num_codebooks=codec.num_quantizers,
        audio_channels=1,
        dropout=0.0,
        # Its id is beyond the codes, as MusicGen embeds it; transformers warns of that here, not in a GenerationConfig.
        pad_token_id=None,
        bos_token_id=None,
        decoder_start_token_id=None,
    )
