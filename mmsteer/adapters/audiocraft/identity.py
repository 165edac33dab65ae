"""The weights of audiocraft's MusicGen by the names that transformers gives them.

A direction is checked against what identifies the weights that it was found in. Both libraries run the same
checkpoints, under other names and with queries, keys and values in one matrix or in three. So that a direction found in
one is that of the other, the weights are named and split as transformers' conversion of checkpoints does; no number is
copied.
"""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

LAYERS = (
    (r"^transformer\.layers\.(\d+)\.", r"decoder.model.decoder.layers.\1."),
    (r"(self_attn|cross_attention)\.mha\.", r"\1."),
    (r"\.cross_attention\.", ".encoder_attn."),
    (r"\.norm1\.", ".self_attn_layer_norm."),
    (r"\.norm_cross\.", ".encoder_attn_layer_norm."),
    (r"\.norm2\.", ".final_layer_norm."),
    (r"\.linear1\.", ".fc1."),
    (r"\.linear2\.", ".fc2."),
    (r"^emb\.", "decoder.model.decoder.embed_tokens."),
    (r"^linears\.", "decoder.lm_heads."),
    (r"^out_norm\.", "decoder.model.decoder.layer_norm."),
    (r"^condition_provider\.conditioners\.description\.output_proj\.", "enc_to_dec_proj."),
    (r"^condition_provider\.conditioners\.self_wav\.output_proj\.", "audio_enc_to_dec_proj."),
)
"""Of the language model."""

OTHERS = "condition_provider."
"""What conditions hold besides: a T5 that is named below, and the constants of a chroma's transform."""

CODEC = (
    (r"^(encoder|decoder)\.model\.", r"\1.layers."),
    (r"\.(conv\.conv|convtr\.convtr)\.", ".conv."),
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
    (r"^quantizer\.vq\.", "quantizer."),
    (r"\._codebook\.", ".codebook."),
)
"""Of EnCodec, where audiocraft's own class holds it."""

_PROJECTION = re.compile(r"(.*)in_proj_(weight|bias)")


def as_transformers(musicgen: Any) -> nn.Module:
    """A tree of modules that holds the weights as transformers' model of the same checkpoint does, and runs nothing.

    `musicgen`: audiocraft's model.
    """
    root = nn.Module()
    root.config = SimpleNamespace(model_type=_model_type(musicgen.lm))  # type: ignore[assignment]
    for name, weight in _named(musicgen):
        *path, key = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module._modules[part]  # type: ignore[assignment]
        module.register_buffer(key, weight.detach())
    return root


def _model_type(lm: Any) -> str:
    return "musicgen_melody" if "self_wav" in lm.condition_provider.conditioners else "musicgen"


def _named(musicgen: Any) -> Iterator[tuple[str, Tensor]]:
    for name, weight in _saved(musicgen.lm):
        renamed = _renamed(name, LAYERS)
        if not renamed.startswith(OTHERS):
            yield from _split(renamed, weight)
    for conditioner in musicgen.lm.condition_provider.conditioners.values():
        if hasattr(conditioner, "t5"):
            for name, weight in _saved(conditioner.t5):
                yield f"text_encoder.{name}", weight
    codec = _inner(musicgen.compression_model)
    renames = () if hasattr(codec, "config") else CODEC  # transformers' own class has its own names
    for name, weight in _saved(codec):
        yield f"audio_encoder.{_renamed(name, renames)}", weight


def _saved(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Weights as a checkpoint names them, tied ones under each name."""
    yield from module.state_dict(keep_vars=True).items()


def _inner(codec: Any) -> Any:
    """The codec inside what runs its channels apart, or has it behave as audiocraft's."""
    while hasattr(codec, "model"):
        codec = codec.model
    return codec


def _renamed(name: str, renames: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name


def _split(name: str, weight: Tensor) -> Iterator[tuple[str, Tensor]]:
    """A weight, or the three that audiocraft holds as one: queries, keys and values."""
    found = _PROJECTION.fullmatch(name)
    if found is None:
        yield name, weight
        return
    for part, one in zip(("q_proj", "k_proj", "v_proj"), weight.chunk(3), strict=True):
        yield f"{found[1]}{part}.{found[2]}", one
