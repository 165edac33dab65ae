"""Steerings as adapters of PEFT and as biases, where that is exact: a stock program loads them and nothing steers.

What a constant vector adds to the residual stream after a block is added alike by the weight that writes the block's
last part, its MLP; and before the MLP by the weight that writes its attention. A projection of such a part's output is
a change of that weight of as many ranks as directions. Whether biases add so in a model is not taken for granted: its
logits with them are compared with those of the steered one before anything is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from mmsteer import hooks
from mmsteer.errors import AdapterError, SiteError
from mmsteer.fold import Writable, basis, plan, writer
from mmsteer.steering import Steering, constant_push, steer
from mmsteer.types import POINTS, Direction, Site

WRITERS = {
    "block": "mlp",
    "mlp": "mlp",
    "mid": "attention",
    "attention": "attention",
    "cross_attention": "cross_attention",
}
"""The part whose weight adds to the state at a point."""
SAME = 1e-3
"""How much the logits may differ, as a fraction of how far the steering moved them: what float32 rounds."""


@dataclass(frozen=True, eq=False)
class Change:
    """What is added to the output of one weight: B A x + bias.

    Attributes:
        module: Path of the weight's module in the model.
        layer: The module.
        down: A, (rank, inputs) float32; of rank 0 where nothing depends on the input.
        up: B, (outputs, rank) float32.
        bias: (outputs,) float32.
    """

    module: str
    layer: nn.Linear
    down: Tensor
    up: Tensor
    bias: Tensor


def additions(adapter: Writable, steering: Steering) -> tuple[Change, ...]:
    """The biases that add what a steering adds, at all tokens.

    Args:
        adapter: The model.
        steering: Additions of constant strength to all tokens.

    Raises:
        SteeringError: Something in it is no constant vector at each site.
        SiteError: A site is one that no weight adds to.
        AdapterError: A weight is quantised or not loaded, or such a bias is not what the steering adds in this model.
    """
    steering.check(adapter)
    found: dict[nn.Linear, Tensor] = {}
    for site, push in constant_push(steering).items():
        layer = writer(adapter, _part(site))
        found[layer] = found[layer] + push if layer in found else push
    names = _names(adapter)
    changes = tuple(
        Change(names[layer], layer, torch.zeros(0, layer.in_features), torch.zeros(len(bias), 0), bias)
        for layer, bias in found.items()
    )
    _check(adapter, changes, steering)
    return changes


def projections(
    adapter: Writable, directions: Sequence[Direction], sites: str | None = None, strength: float = 1.0
) -> tuple[Change, ...]:
    """The low-rank changes that take directions out of what weights write, as `fold` does.

    Args:
        adapter: The model.
        directions: What to take out.
        sites: Which of their sites; None for all of them.
        strength: The share to remove.

    Raises:
        DirectionError: A direction belongs to another model, or has a vector for each token.
        SiteError: A site is one whose state no single weight writes, or is none of the directions'.
        AdapterError: A weight is quantised or not loaded.
        SteeringError: The strength is no share.
    """
    names = _names(adapter)
    return tuple(
        _projection(names, writer(adapter, site), basis(site, some), strength)
        for site, some in plan(adapter, directions, sites, strength).items()
    )


def _projection(names: Mapping[nn.Module, str], layer: nn.Linear, columns: Tensor, strength: float) -> Change:
    columns = columns.to(layer.weight.device)
    down = (columns.T @ layer.weight.detach().double()).float().cpu()
    bias = torch.zeros(layer.out_features)
    if layer.bias is not None:
        bias = (-strength * columns @ (columns.T @ layer.bias.detach().double())).float().cpu()
    return Change(names[layer], layer, down, (-strength * columns).float().cpu(), bias)


def _names(adapter: Writable) -> dict[nn.Module, str]:
    return {module: name for name, module in adapter.model.named_modules()}


def _part(site: Site) -> Site:
    """The site whose weight adds to the state there.

    Raises:
        SiteError: There is none.
    """
    if site.point not in WRITERS:
        raise SiteError(f"{site} is {POINTS[site.point]}, and no bias adds to it; choose among {', '.join(WRITERS)}")
    return replace(site, point=WRITERS[site.point])


def _check(adapter: Writable, changes: Sequence[Change], steering: Steering) -> None:
    """Refuse biases that are not what a steering adds in this model, such as one that scales what its parts add.

    Raises:
        AdapterError: The logits differ.
    """
    plain = adapter.canary().double()
    with steer(adapter, steering):
        steered = adapter.canary().double()
    with hooks.edits({one.layer: partial(torch.add, one.bias.to(one.layer.weight)) for one in changes}):
        biased = adapter.canary().double()
    moved, off = float((steered - plain).abs().max()), float((steered - biased).abs().max())
    if not off <= SAME * moved:  # no number is a difference, too
        raise AdapterError(
            f"a bias does not add in this model what the steering adds (logits differ by {off:.3g}, where the steering "
            f"moves them by {moved:.3g}); load it in float32, choose mlp or attention sites, or steer it"
        )
