"""The points of a block: where its hidden states pass in the code of transformers.

Attention and MLP are of the classes that a model declares to make its attentions, or have one of a few names; the norm
before the MLP and the output projection of the attention have names alone.
"""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from torch import nn

from mmsteer.adapters.families import Blocks
from mmsteer.types import Port

Point = tuple[str, int | None]
"""The name of a point, and the number of a head."""

MLPS = ("mlp", "fc2", "feed_forward", "mlp_block", "ffn")
"""What a block calls its MLP, or the last layer of one that has no module of its own (OPT)."""

CROSS_ATTENTIONS = ("encoder_attn", "cross_attn")

NORMED = (
    {"attention": "post_attention_layernorm", "mlp": "post_feedforward_layernorm"},
    {"attention": "post_self_attn_layernorm", "mlp": "post_mlp_layernorm"},
    {"attention": "post_attention_layernorm", "mlp": "post_mlp_layernorm"},
)
"""What writes to the residual stream in blocks that normalise each part before they add it: Gemma 2 and 3, OLMo 2;
GLM-4; AFMoE."""

NORMS = (
    "pre_feedforward_layernorm",
    "pre_mlp_layernorm",
    "pre_ff_layernorm",
    "feedforward_layernorm",
    "channel_pre_norm",
    "post_attention_layernorm",
    "final_layer_norm",
    "layer_norm2",
    "layernorm_after",
    "ln_2",
    "norm2",
    "norm_2",
    "ffn_norm",
    "rms_norm2",
)
"""What blocks call the norm that the residual stream passes before their MLP."""

PROJECTIONS = ("o_proj", "out_proj", "c_proj", "dense", "proj", "projection", "projection_layer")
"""What attentions call the linear map that their heads enter side by side."""

COUNTS = ("num_heads", "n_heads", "num_attention_heads")
"""What attentions, or their configs, call the number of their heads."""


def ports(block: nn.Module, layer: int, config: Any, attentions: tuple[type[nn.Module], ...]) -> dict[Point, Port]:
    """Where the states of a block pass, in the order in which they are computed.

    `config`: of the model that the block belongs to.
    `attentions`: the classes that the model declares to make its attentions.
    """
    attention = _attention(block, attentions)
    written = _written(block, attention)
    mlp = _child(block, MLPS)
    crossed = _child(block, CROSS_ATTENTIONS)
    found = {
        "attention": None if attention is crossed else written.get("attention"),
        "cross_attention": crossed,
        "mlp": written.get("mlp"),
    }
    given = getattr(block, "fc1", None) if mlp is getattr(block, "fc2", None) else mlp
    heads = {} if attention is None or attention is crossed else _heads(_projection(attention), attention, config)
    return _ordered(block, layer, found, given, _mid(block, config, mlp), heads)


def ports_of_row(block: nn.Module, layer: int, config: Any, row: Blocks) -> dict[Point, Port]:
    """Where the states of a block pass that its model does not declare.

    `row`: what is known of its family.
    """
    names = ("attention", "cross_attention", "mlp", "mlp_input", "mid", "heads")
    parts = {name: _at(block, getattr(row, name)) for name in names}
    projection = parts["heads"]
    heads = {} if projection is None else _heads(projection, projection, config)
    mid = parts["mid"] and Port(parts["mid"], "stream")
    return _ordered(block, layer, parts, parts["mlp_input"], mid, heads)


def _ordered(
    block: nn.Module,
    layer: int,
    written: Mapping[str, nn.Module | None],
    given: nn.Module | None,
    mid: Port | None,
    heads: dict[Point, Port],
) -> dict[Point, Port]:
    found: dict[str, Port | None] = {
        "attention": _output(written.get("attention")),
        "cross_attention": _output(written.get("cross_attention")),
        "mid": mid,
        "mlp_input": None if given is None else Port(given, "input"),
        "mlp": _output(written.get("mlp")),
        "block": Port(block),
    }
    first: dict[Point, Port] = {} if layer else {("embedding", None): Port(block, "input")}
    return first | heads | {(name, None): port for name, port in found.items() if port is not None}


def _output(module: nn.Module | None) -> Port | None:
    return None if module is None else Port(module)


def _attention(block: nn.Module, attentions: tuple[type[nn.Module], ...]) -> nn.Module | None:
    declared = next((child for child in block.children() if isinstance(child, attentions)), None)
    return declared or getattr(block, "self_attn", None)


def _written(block: nn.Module, attention: nn.Module | None) -> Mapping[str, nn.Module | None]:
    """What a block adds to the residual stream, behind the norms that some put there."""
    normed = next((names for names in NORMED if all(hasattr(block, name) for name in names.values())), None)
    if normed:
        return {point: getattr(block, name) for point, name in normed.items()}
    return {"attention": attention, "mlp": _child(block, MLPS)}


def _mid(block: nn.Module, config: Any, mlp: nn.Module | None) -> Port | None:
    """The norm before the MLP, or the MLP where there is none (OLMo 2); None where it runs beside the attention."""
    if mlp is None or getattr(config, "use_parallel_residual", False):
        return None
    behind = {name for names in NORMED if all(hasattr(block, one) for one in names.values()) for name in names.values()}
    norm = _child(block, [name for name in NORMS if name not in behind])
    if norm is None:
        return Port(mlp, "stream") if behind else None
    return Port(norm, "stream")


def _projection(attention: nn.Module) -> nn.Module | None:
    return _child(attention, PROJECTIONS)


def _heads(projection: nn.Module | None, attention: nn.Module, config: Any) -> dict[Point, Port]:
    """Each head's part of what the output projection is given."""
    count = next((getattr(one, name) for one in (attention, config) for name in COUNTS if hasattr(one, name)), None)
    width = None if projection is None else _taken(projection)
    if projection is None or not count or not width or width % count:
        return {}
    each = width // count
    return {("head", n): Port(projection, "input", (n * each, (n + 1) * each)) for n in range(count)}


def _taken(projection: nn.Module) -> int | None:
    # GPT-2's layers are no linear ones; those of LoRA and quantised ones have the same names for it. Gemma 4 wraps one.
    inner = getattr(projection, "linear", projection)
    return getattr(inner, "in_features", getattr(inner, "nx", None))


def _child(module: nn.Module, names: Any) -> nn.Module | None:
    found = (getattr(module, name, None) for name in names)
    return next((one for one in found if isinstance(one, nn.Module)), None)


def _at(block: nn.Module, path: str) -> Any:
    try:
        return attrgetter(path)(block) if path else None
    except AttributeError:
        # Falcon's blocks have the second norm only where the attention runs before the MLP.
        return None
