"""Through which components the effect of a trained vector runs: path patching of blocks, attentions and MLPs."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer import hooks
from mmsteer.latents.token_states import token_states
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import OUTPUT, WRITTEN, Adapter, Sample, Site


@dataclass(frozen=True)
class BlockPaths:
    """How much of a vector's effect is lost where parts of a later block do not see it.

    Attributes:
        layer: Of the block.
        whole: With all of its components as they are unsteered; what is left goes past the block.
        parts: The same with one component alone, by its point, such as `mlp`.
    """

    layer: int
    whole: float
    parts: Mapping[str, float]


@dataclass(frozen=True)
class VectorPaths:
    """Where the effect of a direction's vectors runs. 1 is all of it.

    Attributes:
        straight: What is left of the effect where no later component sees the vectors: the way to the head along the
            residual stream.
        blocks: The blocks behind the first vector.
    """

    straight: float
    blocks: tuple[BlockPaths, ...]


def read_paths(adapter: Adapter, trained: Attribute, contexts: Sequence[Sample]) -> VectorPaths | None:
    """Patch later components back to what they write unsteered, and see what that takes from the effect.

    The effect is the change of the logits of the tokens that predict output, less their mean over the vocabulary; a
    part of it is its projection on the whole. Losses of several components do not add up where one undoes what
    another does, or reads what it wrote.

    Args:
        adapter: The model.
        trained: The direction as it is applied, of the stack that makes the output.
        contexts: Prompts with outputs.

    Returns:
        The paths; None where the vectors do not change the output.

    Source: Sinii et al. 2025, arXiv:2509.06608 (paths of trained vectors); path patching: Goldowsky-Dill et al. 2023,
    arXiv:2304.05969.
    """
    first = min(site.layer for site in trained.direction.sites)
    parts = [
        site
        for site in adapter.widths
        if site.stack == adapter.generator and site.point in WRITTEN and site.layer > first
    ]
    run = _Runs(adapter, trained, contexts, parts)
    if not run.size > 0:
        return None
    blocks = [
        BlockPaths(
            layer,
            run.lost([site for site in parts if site.layer == layer]),
            {site.point: run.lost([site]) for site in parts if site.layer == layer},
        )
        for layer in dict.fromkeys(site.layer for site in parts)
    ]
    return VectorPaths(1 - run.lost(parts), tuple(blocks))


class _Runs:
    """Forwards of the same contexts, steered, with some components as they are unsteered."""

    def __init__(self, adapter: Adapter, trained: Attribute, contexts: Sequence[Sample], parts: Sequence[Site]) -> None:
        self._adapter, self._steering = adapter, Steering((trained,))
        self._reading = adapter.reading(contexts)
        site = next(one for one in adapter.sites if one.stack == adapter.generator)
        states = token_states(adapter, contexts, site, batch=len(contexts))
        self._counts = torch.stack([one.chosen(OUTPUT) for one in states])
        self._kept: dict[Site, Tensor] = {}

        def keep(part: Site) -> hooks.See:
            return lambda hidden: self._kept.update({part: hidden.detach().clone()})

        with hooks.readings({adapter.port(part): keep(part) for part in parts}):
            self._plain = self._logits()
        self._effect = self._steered(()) - self._plain
        self.size = float(self._effect.square().sum())

    def lost(self, parts: Sequence[Site]) -> float:
        """The share of the effect that goes where components write what they write unsteered."""
        left = self._steered(parts) - self._plain
        return 1 - float((left * self._effect).sum()) / self.size

    def _steered(self, parts: Sequence[Site]) -> Tensor:
        def patched(part: Site) -> hooks.Edit:
            return lambda _: self._kept[part]

        with ExitStack() as exits:
            exits.enter_context(exits.enter_context(steer(self._adapter, self._steering)).call(self._reading.call))
            exits.enter_context(hooks.edits({self._adapter.port(part): patched(part) for part in parts}))
            return self._logits()

    def _logits(self) -> Tensor:
        logits = self._adapter.read(self._reading)
        chosen = logits[self._counts.to(logits.device)].float().cpu()
        # What raises all tokens alike changes no output.
        return chosen - chosen.mean(dim=-1, keepdim=True)
