"""Where vision-language models differ: one row a family, and nothing about a family anywhere else.

Everything that the models say of themselves is asked of them: `get_decoder`, `get_encoder("image")`,
`config.image_token_id`, and the classes that they declare to make their hidden states and attentions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any


@dataclass(frozen=True)
class Family:
    """How one family differs from LLaVA.

    Attributes:
        projector: Path of the projector in the base model.
        projected: Tokens that leave the projector, from the config and the tokens that enter it.
        grid: Whether what leaves the projector is (images, lines, columns, width), as what enters it may be.
        runs: Path of a language model that runs by itself, empty for the model itself; None where the images are put
            among the tokens by the base model.
        queries: Where the config counts query tokens that stand for the image at the start of the prompt; empty where
            the prompt marks them by the image token.
        fused: Whether the image enters by cross-attention alone, so that no token of the text stack stands for it.
        towers: Paths in the vision tower of modules that hold its blocks, where the tower does not declare them; None
            where it has no blocks.
        class_token_last: Whether the tower's class token stands behind the patches, not before them.
        tiles: Path in the config of how many tiles share a row of the vision tower; empty for one.
        marked: Whether a prompt without a chat template must hold the image token; else the processor puts it in.
        needs_image: Whether every prompt must have an image.
        one_image: Whether a prompt can have one image only.
        mixes: Whether one batch can hold prompts with images and without.
        first_position: Position of the first token of a prompt.
        answer_type: Token type of an answer's tokens.
    """

    projector: str = "multi_modal_projector"
    projected: Callable[[Any, int], int] = lambda _, tokens: tokens
    grid: bool = False
    runs: str | None = None
    queries: str = ""
    fused: bool = False
    towers: tuple[str, ...] | None = ()
    class_token_last: bool = False
    tiles: str = ""
    marked: bool = True
    needs_image: bool = False
    one_image: bool = False
    mixes: bool = True
    first_position: int = 0
    answer_type: int = 0

    def running(self, model: Any) -> Any:
        """The module under the head of what `generate` runs: it is given the tokens and the cache too.

        torch.compile leaves the hooks of the module that it is called for outside the graph; this one's are inside.

        Args:
            model: The model.
        """
        if self.runs is None:
            return model.base_model
        # Not the base model: some heads, such as OPT's, run the decoder inside it.
        return (attrgetter(self.runs)(model) if self.runs else model).get_decoder()


def _merged(config: Any, tokens: int) -> int:
    return int(tokens // config.vision_config.spatial_merge_size**2)


def _merged_patches(config: Any, tokens: int) -> int:
    return int(tokens // config.spatial_merge_size**2)


def _shuffled(config: Any, tokens: int) -> int:
    return int(tokens // config.scale_factor**2)


def _downsampled(config: Any, tokens: int) -> int:
    return int(tokens // config.downsample_factor**2)


def _pooled(config: Any, tokens: int) -> int:
    return int(config.mm_tokens_per_image)


QWEN = Family(projector="visual.merger", projected=_merged)
GLM = Family(projector="visual.merger")
DOWNSAMPLED = Family(projected=_downsampled, grid=True)
IDEFICS = Family(projector="connector", projected=_shuffled)

FAMILIES: Mapping[str, Family] = {
    "llava": Family(),
    "llava_next": Family(),
    "llava_onevision": Family(),
    "instructblip": Family(
        projector="language_projection",
        runs="language_model",
        queries="num_query_tokens",
        marked=False,
        needs_image=True,
        one_image=True,
    ),
    "qwen2_vl": QWEN,
    "qwen2_5_vl": QWEN,
    "qwen3_vl": QWEN,
    "qwen3_vl_moe": QWEN,
    "qwen3_5": QWEN,
    "qwen3_5_moe": QWEN,
    "glm4v": GLM,
    "glm46v": GLM,
    "vipllava": Family(),
    "mistral3": Family(projected=_merged_patches),
    "internvl": Family(),
    "idefics3": IDEFICS,
    "smolvlm": IDEFICS,
    "aya_vision": DOWNSAMPLED,
    "cohere2_vision": DOWNSAMPLED,
    "lfm2_vl": DOWNSAMPLED,
    "llama4": Family(towers=("model",), class_token_last=True),
    "molmo2": Family(projector="multi_modal_projector.image_projector"),
    "ovis2": Family(projector="visual_embeddings_table"),
    "paligemma": Family(first_position=1, answer_type=1, marked=False, needs_image=True),
    "gemma3": Family(projected=_pooled),
    "gemma3n": Family(projector="embed_vision", towers=None),
    "gemma4": Family(projector="embed_vision"),
    "mllama": Family(
        fused=True,
        towers=("transformer", "global_transformer"),
        tiles="vision_config.max_num_tiles",
        mixes=False,
    ),
}

_STREAMS = "its residual stream is several side by side (hyper-connections), so that no one vector can be added to it"
_MERGED = "its tower merges tokens between two blocks, so that its layers have different numbers of them"

REFUSED: Mapping[str, str] = {
    "deepseek_v4": _STREAMS,
    "hy_v4": _STREAMS,
    "minicpmv4_6": _MERGED,
    "minicpmv4_7": _MERGED,
}
"""Families that cannot be steered, by the model type of the whole or of its language model, and why."""


def no_row(kind: str) -> str:
    """What an error says of a vision-language family that is not in the table.

    Args:
        kind: Its model type.
    """
    return (
        f"no adapter for vision-language models of type {kind!r}: the path of their projector is not known; a row in "
        f"FAMILIES of mmsteer/adapters/families.py adds it, or choose from {', '.join(FAMILIES)}"
    )


TEXT_ONLY = Family(runs="")
"""A plain causal language model."""


@dataclass(frozen=True)
class Blocks:
    """Where a language model that does not declare its blocks keeps them, and their parts.

    Attributes:
        path: Of the list of blocks, in the decoder.
        attention: Path in a block of what writes the attention's output; empty where there is none.
        cross_attention: Of what writes the cross-attention's output.
        mlp: Of what writes the MLP's output.
        mlp_input: Of what takes the MLP's input.
        mid: Of the norm before the MLP.
        heads: Of the attention's output projection.
    """

    path: str
    attention: str = ""
    cross_attention: str = ""
    mlp: str = ""
    mlp_input: str = ""
    mid: str = ""
    heads: str = ""


BLOCKS: Mapping[str, Blocks] = {
    # What BLOOM's attention and MLP return has the residual stream in it, as what MPT's MLP does.
    "bloom": Blocks(
        "h",
        attention="self_attention.dense",
        mlp="mlp.dense_4h_to_h",
        mlp_input="mlp",
        mid="post_attention_layernorm",
        heads="self_attention.dense",
    ),
    "falcon": Blocks(
        "h",
        attention="self_attention",
        mlp="mlp",
        mlp_input="mlp",
        mid="post_attention_layernorm",
        heads="self_attention.dense",
    ),
    "falcon_mamba": Blocks("layers"),
    "gpt_neo": Blocks("h", attention="attn", mlp="mlp", mlp_input="mlp", mid="ln_2", heads="attn.attention.out_proj"),
    # Its blocks add a bias to what the attention returns.
    "gpt_neox_japanese": Blocks(
        "layers", mlp="mlp", mlp_input="mlp", mid="post_attention_layernorm", heads="attention.dense"
    ),
    # What holds the blocks has a head of its own.
    "llama4_text": Blocks(
        "model.layers",
        attention="self_attn",
        mlp="feed_forward",
        mlp_input="feed_forward",
        mid="post_attention_layernorm",
        heads="self_attn.o_proj",
    ),
    "mamba": Blocks("layers"),
    "mamba2": Blocks("layers"),
    # Declared, but an edit of what is found as the input of its MLP does not reach the logits.
    "xlstm": Blocks("blocks"),
    "mpt": Blocks(
        "blocks", attention="attn", mlp="ffn.down_proj", mlp_input="ffn", mid="norm_2", heads="attn.out_proj"
    ),
}
"""Language models that do not declare their blocks, by model type."""

STREAMS: Mapping[str, str] = {"gemma3n_text": "altup_active_idx"}
"""Language models whose blocks pass several states stacked in the first dimension: where the config says which of them
the attention and the MLP read and write, by model type."""
