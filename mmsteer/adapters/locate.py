"""Where a transformer keeps its blocks, and what writes to the residual stream.

The blocks are the modules of the class that a model declares to make its hidden states: transformers' own record, so
that no name or length is guessed.
"""

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

from torch import nn

from mmsteer.adapters.families import BLOCKS, STREAMS, Family
from mmsteer.adapters.points import Point, ports, ports_of_row
from mmsteer.errors import AdapterError
from mmsteer.types import WRITTEN, Port, Site

WRITERS = ("down_proj", "fc2", "linear_fc2", "o_proj", "out_proj", "proj", "projection", "projection_layer", "w2")
"""What attentions and MLPs call their last linear layer."""

CLASS_TOKENS = ("class_embedding", "cls_token")
"""What vision towers call the embedding of a token that stands for the whole image."""


def decoder_blocks(model: Any) -> list[nn.Module]:
    """The blocks of a language model, in order.

    `model`: A causal language model or a vision-language model.

    Raises:
        AdapterError: The model does not declare them, and there is no row for it.
    """
    row = BLOCKS.get(model.config.get_text_config(decoder=True).model_type)
    return list(attrgetter(row.path)(model.get_decoder())) if row else _declared_blocks(model.get_decoder())


def vision_tower(model: Any) -> nn.Module | None:
    """The module that sees images; None where there is none."""
    encoder = model.get_encoder("image")
    return None if encoder is model or encoder is model.base_model else encoder


def vision_blocks(tower: Any, family: Family) -> list[nn.Module]:
    """The blocks of a vision tower, in order.

    `tower`: what `vision_tower` found.
    `family`: how its family differs. Its tower may have no blocks, such as a convolutional one.

    Raises:
        AdapterError: The tower does not declare them.
    """
    if family.towers is None:
        return []
    if family.towers:
        return [block for path in family.towers for block in attrgetter(path)(tower).layers]
    return _declared_blocks(tower)


def points(tower: Any, block: nn.Module, layer: int) -> dict[Point, Port]:
    """Where the states of a block pass, in the order in which they are computed.

    `tower`: the model that the block belongs to.
    """
    config = tower.config.get_text_config(decoder=True)
    if row := BLOCKS.get(config.model_type):
        return ports_of_row(block, layer, config, row)
    found = ports(block, layer, config, _declared(tower, "attentions"))
    if config.model_type in STREAMS:
        chosen = getattr(config, STREAMS[config.model_type])
        found |= {at: replace(port, stream=chosen) for at, port in found.items() if port.module is block}
    return found


def writer(part: nn.Module, site: Site) -> nn.Linear:
    """The linear layer whose output is the output of an attention or an MLP.

    `part`: the module at the site.

    Raises:
        AdapterError: The site is no output of a part, or its output is not that of a linear layer.
    """
    if site.point not in WRITTEN:
        what = "a whole block" if site.point == "block" else f"the point {site.point}"
        raise AdapterError(f"{site}: {what} is not written by one layer; choose its mlp or attention")
    found = next((one for one in _last_layers(part) if isinstance(one, nn.Linear)), None)
    if found is None:
        raise AdapterError(
            f"{site}: no linear layer writes there (it is a {type(part).__name__}), so nothing can be "
            "folded into it; choose another site"
        )
    return found


def width(part: nn.Module) -> int:
    """The width of what an attention or an MLP writes."""
    # LoRA's layers and quantised ones have the features of a linear layer, but are none; Gemma 4 ends in a norm.
    features = (getattr(one, "out_features", None) for one in _last_layers(part))
    return int(next((known for known in features if known), None) or len(part.get_parameter("weight")))


def has_class_token(tower: nn.Module) -> bool:
    """Whether a vision tower puts a token for the whole image beside its patches.

    `tower`: what `vision_tower` found.
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
