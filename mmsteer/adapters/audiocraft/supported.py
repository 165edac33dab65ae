"""Which of audiocraft's models can be steered."""

from typing import Any

from torch import nn

from mmsteer.adapters.codebooks import Codebooks
from mmsteer.errors import AdapterError


def streams_of(musicgen: Any) -> Codebooks:
    """How a model lays its codes out, refused where steering could not follow it.

    Raises:
        AdapterError: It is not laid out, or not built, as MusicGen is.
    """
    lm = musicgen.lm
    for layer in lm.transformer.layers:
        scaled = [
            name for name in ("layer_scale_1", "layer_scale_2") if not isinstance(getattr(layer, name), nn.Identity)
        ]
        if scaled or layer.self_attn.past_context is not None or not layer.self_attn.causal:
            raise AdapterError(
                "this language model scales what its layers add (layer_scale), forgets old tokens (past_context) or is "
                "not causal; the published MusicGen models do none of this, and the adapter follows those"
            )
    pattern = lm.pattern_provider
    delays = getattr(pattern, "delays", None)
    plain = not getattr(pattern, "flatten_first", 0) and not getattr(pattern, "empty_initial", 0)
    for channels in (1, 2):
        streams = Codebooks(lm.n_q, channels, lm.special_token_id)
        if plain and delays == streams.delays:
            return streams
    raise AdapterError(
        f"the codes of this model are laid out by {type(pattern).__name__} with delays {delays}; MusicGen delays "
        "codebook k by k, and a second channel as the first"
    )


def time_axis(attention: Any) -> int:
    """The axis of cached keys that counts tokens.

    `attention`: A self-attention of the language model.
    """
    from audiocraft.modules.transformer import _get_attention_time_dimension

    return _get_attention_time_dimension(attention.memory_efficient)
