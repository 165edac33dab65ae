"""Changes of weights as biases of an ordinary checkpoint."""

from collections.abc import Iterable, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmsteer.errors import AdapterError
from mmsteer.fold import Writable, check_folder, write_folder
from mmsteer.folding.changes import Change

FLAGS = ("mlp_bias", "attention_bias")
"""What configurations call the biases of layers that usually have none."""


def save_biased(adapter: Writable, folder: str | Path, changes: Sequence[Change], card: str) -> None:
    """Write the whole model with the changes in its biases, as a checkpoint that `from_pretrained` loads.

    Where its layers have no biases, but its configuration can give them (`mlp_bias`, `attention_bias` of Llama and
    others), the others are zero.

    Args:
        adapter: The model; it is changed in place.
        folder: A folder that does not exist yet; it is whole, or not there.
        changes: Biases alone, of `additions`.
        card: What was written, for people.

    Raises:
        AdapterError: The folder exists or cannot be written; or the architecture has no such biases.
    """
    check_folder(Path(folder))
    if adapter.processor is None:
        raise AdapterError("only a model of transformers is saved as from_pretrained reads it")
    _give_biases(adapter, changes)
    with torch.no_grad():
        for one in changes:
            one.layer.bias.add_(one.bias.to(one.layer.bias))

    def write(draft: Path) -> None:
        adapter.model.save_pretrained(draft)
        adapter.processor.save_pretrained(draft)
        (draft / "README.md").write_text(card)

    write_folder(Path(folder), write)


def _give_biases(adapter: Writable, changes: Sequence[Change]) -> None:
    """Add zero biases, where the configuration has a word for them.

    Raises:
        AdapterError: It has none.
    """
    lacking = [one for one in changes if one.layer.bias is None]
    if not lacking:
        return
    config = adapter.model.config.get_text_config()
    flags = [flag for flag in FLAGS if getattr(config, flag, None) is False]
    before = {name for name, _ in adapter.model.named_parameters()}
    # As few of them as will do: a word gives biases to layers that are not written to, as well.
    for some in chain.from_iterable(combinations(flags, size) for size in range(1, len(flags) + 1)):
        _set(config, some, True)
        wanted = _parameters(adapter.model) - before
        if all(f"{one.module}.bias" in wanted for one in lacking):
            _add_zeros(adapter.model, wanted)
            return
        _set(config, some, False)
    raise AdapterError(
        f"{lacking[0].module} has no bias, and a {config.model_type} can be given none by its configuration; write "
        "an adapter of PEFT instead (--as peft)"
    )


def _set(config: Any, flags: Iterable[str], value: bool) -> None:
    for flag in flags:
        setattr(config, flag, value)


def _parameters(model: nn.Module) -> set[str]:
    """The names of the parameters that a model of this configuration has."""
    with torch.device("meta"):
        fresh: Any = type(model)(model.config)
    return {name for name, _ in fresh.named_parameters()}


def _add_zeros(model: nn.Module, names: set[str]) -> None:
    for name in sorted(names):
        weight = model.get_parameter(f"{name.removesuffix('.bias')}.weight")
        layer = model.get_submodule(name.removesuffix(".bias"))
        layer.bias = nn.Parameter(weight.new_zeros(weight.shape[0]), requires_grad=weight.requires_grad)
