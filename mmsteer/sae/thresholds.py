"""Architectures that learn where each feature begins: JumpReLU and Gated."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmsteer.errors import DictionaryError
from mmsteer.sae.architecture import Pass, State, squared_error
from mmsteer.sae.dictionary import SparseDictionary, folded, gated
from mmsteer.sae.weights import Weights


@dataclass(frozen=True)
class JumpReLU:
    """A threshold a feature, learned with straight-through gradients so that l0 features are active on average.

    The loss is the squared error plus `(L0 / l0 - 1)²`. Neither a jump nor a count has a gradient with respect to the
    threshold; both are given that of their expectation under a rectangle kernel. The threshold is trained as it is, not
    by its logarithm: steps of Adam have the size of the learning rate, and a logarithm would crawl away from a small
    start.

    Attributes:
        l0: Active features a hidden state, on average.
        bandwidth: Width of the kernel, for hidden states of unit mean square norm.
        start_at: The thresholds at the start.
        penalty: Weight of the penalty, once warm.
        warmup: Steps over which it grows from zero.

    Source: Rajamanoharan et al. 2024, arXiv:2407.14435; the penalty on a target, from its appendix.
    """

    l0: float
    bandwidth: float = 1e-3
    start_at: float = 1e-3
    penalty: float = 1.0
    warmup: int = 2000
    betas = (0.0, 0.999)
    needs_steps = 0

    def __post_init__(self) -> None:
        if not (self.l0 > 0 and self.bandwidth > 0 and self.start_at > 0):
            raise DictionaryError(f"l0, bandwidth and start_at of {self} must be above zero")

    def start(self, weights: Weights) -> State:
        """The thresholds."""
        return {"threshold": nn.Parameter(torch.full_like(weights.encoder_bias, self.start_at))}

    def run(self, weights: Weights, state: State, x: Tensor, dead: Tensor, step: int) -> Pass:
        """Encode and decode a batch."""
        threshold = state["threshold"]
        with torch.no_grad():
            threshold.clamp_(min=0)  # in place, or a threshold at zero would lose its gradient
        a = torch.addmm(weights.bias(), x, weights.encoder.T)
        z = jump(a, threshold, self.bandwidth)
        reconstruction = torch.addmm(weights.decoder_bias, z, weights.decoder)
        l0 = step_above(a, threshold, self.bandwidth).sum(dim=1).mean()
        penalty = self.penalty * warmth(step, self.warmup) * (l0 / self.l0 - 1).square()
        return Pass(squared_error(x, reconstruction) + penalty, reconstruction.detach(), (z > 0).sum(dim=0))

    def freeze(self, weights: Weights, state: State, scale: float) -> SparseDictionary:
        """The dictionary with its thresholds."""
        return folded(
            weights.encoder.T,
            weights.encoder_bias,
            weights.decoder,
            weights.decoder_bias,
            state["threshold"].clamp(min=0),
            subtract=True,
            scale=scale,
        )


@dataclass(frozen=True)
class Gated:
    """A gate decides which features are active and a magnitude how much; both share the encoder's rows.

    The L1 penalty falls on the gate alone, so that it does not shrink activations. The gate has no gradient of its own:
    it learns from the penalty, and from reconstructing by itself through a decoder that it cannot change.

    Attributes:
        l1: Weight of the penalty, for hidden states of unit mean square norm: larger is sparser.
        warmup: Steps over which it grows from zero.

    Source: Rajamanoharan et al. 2024, arXiv:2404.16014.
    """

    l1: float
    warmup: int = 2000
    betas = (0.0, 0.999)
    needs_steps = 0

    def __post_init__(self) -> None:
        if self.l1 <= 0:
            raise DictionaryError(f"l1 is {self.l1}; without a penalty nothing is sparse")

    def start(self, weights: Weights) -> State:
        """Scale and bias of the magnitude; the encoder's own bias is the gate's."""
        names = ("log_scale", "magnitude_bias")
        return {name: nn.Parameter(torch.zeros_like(weights.encoder_bias)) for name in names}

    def run(self, weights: Weights, state: State, x: Tensor, dead: Tensor, step: int) -> Pass:
        """Encode and decode a batch."""
        centred = torch.addmm(-(weights.encoder @ weights.decoder_bias), x, weights.encoder.T)
        gate = centred + weights.encoder_bias
        magnitude = (state["log_scale"].exp() * centred + state["magnitude_bias"]).relu()
        z = torch.where(gate > 0, magnitude, 0)
        reconstruction = torch.addmm(weights.decoder_bias, z, weights.decoder)
        opened = gate.relu()
        alone = torch.addmm(weights.decoder_bias.detach(), opened, weights.decoder.detach())
        penalty = self.l1 * warmth(step, self.warmup) * opened.sum(dim=1).mean()
        loss = squared_error(x, reconstruction) + penalty + squared_error(x, alone)
        return Pass(loss, reconstruction.detach(), (z > 0).sum(dim=0))

    def freeze(self, weights: Weights, state: State, scale: float) -> SparseDictionary:
        """The dictionary with the gate as thresholds of the magnitude."""
        encoder, bias, threshold = gated(
            weights.encoder.T, weights.encoder_bias, state["log_scale"], state["magnitude_bias"]
        )
        return folded(encoder, bias, weights.decoder, weights.decoder_bias, threshold, subtract=True, scale=scale)


def jump(a: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    """Entries a that exceed the threshold θ; zero for the others.

    Backwards, those entries pass their gradient, and θ gets -θ / ε of the gradient of each entry within ε / 2 of it.

    `a`: (rows, features).
    `threshold`: (features,).
    """
    return _Jump.apply(a, threshold, bandwidth)  # type: ignore[no-untyped-call]


def step_above(a: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    """One where a exceeds the threshold θ, else zero.

    Backwards, θ gets -1 / ε of the gradient of each entry within ε / 2 of it, and a gets nothing.

    `a`: (rows, features).
    `threshold`: (features,).
    """
    return _Step.apply(a, threshold, bandwidth)  # type: ignore[no-untyped-call]


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(a, threshold)
        ctx.bandwidth = bandwidth
        return torch.where(a > threshold, a, 0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, threshold = ctx.saved_tensors
        near = _near(a, threshold, ctx.bandwidth)
        return grads[0] * (a > threshold), -(threshold / ctx.bandwidth) * (grads[0] * near).sum(dim=0), None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(a, threshold)
        ctx.bandwidth = bandwidth
        return (a > threshold).to(a.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, threshold = ctx.saved_tensors
        return None, -(grads[0] * _near(a, threshold, ctx.bandwidth)).sum(dim=0) / ctx.bandwidth, None


def warmth(step: int, warmup: int) -> float:
    """Share of a penalty at a step: from zero, evenly, to 1.

    `step`: number of the step, from 0.
    """
    return min(1.0, step / warmup) if warmup else 1.0


def _near(a: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    return (a - threshold).abs() < bandwidth / 2
