"""A language model in the layout of SmolLM2, small and random, to put a LLaVA together with."""

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def write_language(folder, texts):
    """Save the model and a tokenizer of whole words that reads some texts."""
    splitter = pre_tokenizers.Split(Regex(r" ?\w+|\n|[^\w\s]"), behavior="removed", invert=True)
    lines = [*texts, "user\n", "assistant\n", *(f" {text}" for text in texts)]
    words = sorted({word for line in lines for word, _ in splitter.pre_tokenize_str(line)})
    tokenizer = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate([*SPECIAL, *words])}, unk_token=SPECIAL[0])
    )
    tokenizer.pre_tokenizer, tokenizer.decoder = splitter, decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=SPECIAL[0],
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[2],
        additional_special_tokens=list(SPECIAL),
    )
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
