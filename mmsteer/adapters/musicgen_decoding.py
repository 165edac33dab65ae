"""MusicGen's decoding loop: the tokens of transformers' own loop, sooner.

transformers copies all keys and values at every step, because its cache grows by concatenation, and prepares the inputs
of four nested models anew. Here keys and values are written where they stay, the text is projected once, and a step
calls the decoder itself, whose hooks steer it as in any other loop.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache, LogitsProcessorList
from transformers.cache_utils import DynamicLayer

from mmsteer.adapters.caches import cache_name


class ReservedLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped here
    """Keys and values of one layer in memory that is reserved once; its length is known without asking the device."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = length

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write what is new behind what is there; all keys and values so far, (rows, heads, tokens, width of a head).

        `key_states`: new keys, (rows, heads, new tokens, width of a head).
        `value_states`: new values, alike.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            rows, heads, width = (key_states.shape[axis] for axis in (0, 1, 3))
            self._store = key_states.new_empty(2, rows, heads, self._length, width)
        first, last = self.get_seq_length(), self.get_seq_length() + key_states.shape[2]
        self._store[0, :, :, first:last] = key_states
        self._store[1, :, :, first:last] = value_states
        self.keys, self.values = self._store[0, :, :, :last], self._store[1, :, :, :last]
        return self.keys, self.values


@torch.no_grad()
def decode(
    model: Any,
    input_ids: Tensor,
    *,
    logits_processor: LogitsProcessorList,
    generation_config: Any,
    decoder_delay_pattern_mask: Tensor,
    encoder_outputs: Any,
    attention_mask: Tensor,
    guidance_scale: float | None = None,
    **_: Any,
) -> Tensor:
    """Stand in for `_sample` of `MusicgenForConditionalGeneration`, which its `generate` calls; greedy.

    Args:
        model: The model.
        input_ids: Tokens that are given, (rows * codebooks, tokens).
        logits_processor: What turns logits into the scores whose largest is taken, guidance included.
        generation_config: Tells the length.
        decoder_delay_pattern_mask: Tokens that the delay pattern fixes, -1 elsewhere, (rows * codebooks, length).
        encoder_outputs: States of the text, of both branches.
        attention_mask: Which of them are text.
        guidance_scale: Above 1, the rows run in two branches.

    Returns:
        Tokens, (rows * codebooks, length).
    """
    branches = 2 if guidance_scale is not None and guidance_scale > 1 else 1
    given, length = input_ids.shape[1], generation_config.max_length
    fixed = decoder_delay_pattern_mask[:, :length]
    tokens = torch.where(fixed >= 0, fixed, nn.functional.pad(input_ids, (0, length - given)))
    condition = condition_of(model, encoder_outputs[0], attention_mask)
    cached = {cache_name(model.decoder): _cache(model, length)}
    first = 0
    for place in range(given, length):
        logits = model.decoder(
            input_ids=tokens[:, first:place].repeat(branches, 1),
            encoder_hidden_states=condition,
            encoder_attention_mask=attention_mask,
            use_cache=True,
            **cached,
        ).logits
        drawn = logits_processor(tokens[:, :place], logits[:, -1].float()).argmax(dim=-1)
        column = fixed[:, place]
        tokens[:, place] = torch.where(column >= 0, column, drawn)
        first = place
    return tokens


def condition_of(model: Any, states: Tensor, heard: Tensor) -> Tensor:
    """What the decoder attends to, (rows, words, width).

    `states`: what its text encoder says, (rows, words, width of the encoder).
    `heard`: which words the decoder hears, (rows, words); the others become zeros, as the whole null branch is.
    """
    # MusicGen has a projection only where the two widths differ.
    project = getattr(model, "enc_to_dec_proj", nn.Identity())
    return project(states) * heard[..., None]


def _cache(model: Any, length: int) -> EncoderDecoderCache:
    own, text = (DynamicCache(config=model.decoder.config) for _ in range(2))
    own.layers = [ReservedLayer(length) for _ in range(model.decoder.config.num_hidden_layers)]
    return EncoderDecoderCache(own, text)
