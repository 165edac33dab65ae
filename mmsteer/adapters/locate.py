"""Where a transformer keeps its blocks, and what they add to the residual stream.

The blocks are the modules of the class that a model declares to make its hidden states, and the attention in a block
is of the class that makes its attentions: transformers' own record, so that no name or length is guessed.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from torch import nn

from mmsteer.adapters.families import BLOCKS, Family
from mmsteer.errors import AdapterError
from mmsteer.types import Site

MLPS = ("mlp", "fc2", "feed_forward", "mlp_block")
"""What a block calls its MLP, or the last layer of one that has no module of its own (OPT)."""

NORMED = (
    {"attention": "post_attention_layernorm", "mlp": "post_feedforward_layernorm"},
    {"attention": "post_self_attn_layernorm", "mlp": "post_mlp_layernorm"},
)
"""What writes to the residual stream in blocks that normalise each part before they add it: Gemma 2 and 3, OLMo 2;
GLM-4."""

WRITERS = ("down_proj", "fc2", "linear_fc2", "o_proj", "out_proj", "proj", "projection", "projection_layer")
"""What attentions and MLPs call their last linear layer."""

CLASS_TOKENS = ("class_embedding", "cls_token")
"""What vision towers call the embedding of a token that stands first and for the whole image."""


def decoder_blocks(model: Any) -> list[nn.Module]:
    """The blocks of a language model, in order.

    Args:
        model: A causal language model or a vision-language model.

    Raises:
        AdapterError: The model does not declare them, and there is no row for it.
    """
    path = BLOCKS.get(model.config.get_text_config(decoder=True).model_type)
    return list(attrgetter(path)(model.get_decoder())) if path else _declared_blocks(model.get_decoder())


def vision_tower(model: Any) -> nn.Module | None:
    """The module that sees images; None where there is none.

    Args:
        model: The model.
    """
    encoder = model.get_encoder("image")
    return None if encoder is model or encoder is model.base_model else encoder


def vision_blocks(tower: Any, family: Family) -> list[nn.Module]:
    """The blocks of a vision tower, in order.

    Args:
        tower: What `vision_tower` found.
        family: How its family differs.

    Raises:
        AdapterError: The tower does not declare them.
    """
    if family.towers:
        return [block for path in family.towers for block in attrgetter(path)(tower).layers]
    return _declared_blocks(tower)


def parts(tower: Any, block: nn.Module) -> dict[str, nn.Module]:
    """The modules of a block that write its hidden states: of the points `block`, `attention` and `mlp` those it has.

    Args:
        tower: The model that the block belongs to.
        block: The block.
    """
    found = {"block": block}
    if not _declared(tower, "hidden_states"):
        # What the parts of such blocks return may have the residual stream in it, as BLOOM's.
        return found
    normed = next((names for names in NORMED if all(hasattr(block, name) for name in names.values())), None)
    if normed:
        return found | {point: getattr(block, name) for point, name in normed.items()}
    attentions = _declared(tower, "attentions")
    attention = next((child for child in block.children() if isinstance(child, attentions)), None)
    attention = attention or getattr(block, "self_attn", None)
    mlp = next((getattr(block, name) for name in MLPS if hasattr(block, name)), None)
    return found | {point: part for point, part in (("attention", attention), ("mlp", mlp)) if part is not None}


def writer(part: nn.Module, site: Site) -> nn.Linear:
    """The linear layer whose output is the output of an attention or an MLP.

    Args:
        part: The module at the site.
        site: The site.

    Raises:
        AdapterError: The site is a whole block, or its output is not that of a linear layer.
    """
    if site.point == "block":
        raise AdapterError(f"{site}: a whole block is not written by one layer; choose its mlp or attention")
    found = next((one for one in _last_layers(part) if isinstance(one, nn.Linear)), None)
    if found is None:
        raise AdapterError(
            f"{site}: no linear layer writes there (it is a {type(part).__name__}), so nothing can be "
            "folded into it; choose another site"
        )
    return found


def width(part: nn.Module) -> int:
    """The width of what an attention or an MLP writes.

    Args:
        part: The attention or MLP.
    """
    # LoRA's layers and quantised ones have the features of a linear layer, but are none.
    return int(next(one.out_features for one in _last_layers(part) if hasattr(one, "out_features")))


def has_class_token(tower: nn.Module) -> bool:
    """Whether a vision tower puts a token for the whole image before its patches.

    Args:
        tower: What `vision_tower` found.
    """
    names = {name.rpartition(".")[2] for name, _ in tower.named_parameters()}
    return not names.isdisjoint(CLASS_TOKENS)


def _last_layers(part: nn.Module) -> list[Any]:
    return [part, *(getattr(part, name) for name in WRITERS if hasattr(part, name))]


def _declared_blocks(tower: Any) -> list[nn.Module]:
    classes = _declared(tower, "hidden_states")
    blocks = [module for module in tower.modules() if isinstance(module, classes)]
    if not blocks:
        raise AdapterError(
            f"{type(tower).__name__} does not declare its blocks to transformers (_can_record_outputs), so its hidden "
            "states cannot be located; a row in BLOCKS of mmsteer/adapters/families.py, the path of their list, does"
        )
    return blocks


def _declared(tower: Any, output: str) -> tuple[type[nn.Module], ...]:
    """The classes that a model declares to make an output."""
    declared = (getattr(tower, "_can_record_outputs", None) or {}).get(output, ())
    several: Sequence[Any] = declared if isinstance(declared, list | tuple) else [declared]
    return tuple(getattr(one, "target_class", one) for one in several)
