"""Training samples of a linear probe: mean difference, ridge and logistic regression as objectives of their samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import softplus

from mmsteer.attribution.training import conjugate_gradients, curvature, sum_over
from mmsteer.errors import AttributionError

Kind = Literal["mean_difference", "linear", "logistic"]
NEWTON = 100
"""Most steps to the minimum of a logistic regression."""
STILL = 1e-9


@dataclass(frozen=True, eq=False)
class ProbeSamples:
    """A binary probe, whose number is how far its weights tell held-out samples apart: the difference of mean scores.

    Weights have the length that they are learned with: the difference of means itself, of membership, or of a logit. A
    wrong label makes it smaller; what it does to the direction alone is little for a mean difference.

    Attributes:
        kind: Which probe.
        x: Hidden states that it is fitted to, (n, width).
        y: 0 or 1 a sample, (n,).
        held: Hidden states that it is judged on, (m, width).
        held_y: 0 or 1, (m,).
        strength: `ridges` of the linear probe or `penalties` of the logistic one, the value that was chosen.
        names: One name a training sample.
    """

    kind: Kind
    x: Tensor
    y: Tensor
    held: Tensor
    held_y: Tensor
    strength: float = 1.0
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise AttributionError(
                f"no influence of samples on the probe {self.kind!r}: it has no smooth objective with one minimum; "
                f"choose from {', '.join(get_args(Kind))}"
            )
        for name in ("x", "y", "held", "held_y"):
            object.__setattr__(self, name, getattr(self, name).double().cpu())
        for y, what in ((self.y, "training"), (self.held_y, "held-out")):
            if set(y.unique().tolist()) != {0.0, 1.0}:
                raise AttributionError(f"{what} samples need labels of both sides, 0 and 1; got {y.unique().tolist()}")
        if not self.names:
            object.__setattr__(self, "names", tuple(f"sample {at}" for at in range(len(self.x))))

    @cached_property
    def parameters(self) -> Tensor:
        """See `Learned.parameters`."""
        return self._minimum(torch.ones_like(self.y))

    def terms(self, parameters: Tensor, shares: Tensor) -> Iterator[Tensor]:
        """See `Learned.terms`."""
        yield {"mean_difference": self._means, "linear": self._ridge, "logistic": self._logistic}[self.kind](
            parameters, shares
        )

    def vector(self, parameters: Tensor, shares: Tensor) -> Tensor:
        """The weights of the probe, (width,).

        Args:
            parameters: What was learned.
            shares: How much each sample counts.
        """
        width = self.x.shape[1]
        if self.kind == "mean_difference":
            return parameters[width:] - parameters[:width]
        return parameters[:width] / (self._scale(shares)[1] if self.kind == "logistic" else 1.0)

    def number(self, parameters: Tensor, shares: Tensor) -> Tensor:
        """See `Learned.number`."""
        yes, no = self.held[self.held_y == 1].mean(0), self.held[self.held_y == 0].mean(0)
        return (yes - no) @ self.vector(parameters, shares)

    def again(self, shares: Tensor) -> float:
        """See `Learned.again`; 0 where a side has no sample left, as nothing is learned."""
        shares = shares.double()
        if min(float(shares @ self.y), float(shares @ (1 - self.y))) < 1:
            return 0.0
        return float(self.number(self._minimum(shares), shares))

    def _means(self, parameters: Tensor, shares: Tensor) -> Tensor:
        no, yes = parameters.split(self.x.shape[1])
        away = self.x - torch.where(self.y[:, None] == 1, yes, no)
        return 0.5 * (shares * away.square().sum(1)).sum()

    def _ridge(self, parameters: Tensor, shares: Tensor) -> Tensor:
        centred = self.x - shares @ self.x / shares.sum()
        wanted = self.y - shares @ self.y / shares.sum()
        unit = (shares @ centred.square().sum(1)) / self.x.shape[1]
        lost = (shares * (centred @ parameters - wanted).square()).sum()
        return 0.5 * (lost + self.strength * unit * parameters.square().sum())

    def _logistic(self, parameters: Tensor, shares: Tensor) -> Tensor:
        mean, spread = self._scale(shares)
        weights, offset = parameters[:-1], parameters[-1]
        logits = (self.x - mean) / spread @ weights + offset
        return (shares * softplus(torch.where(self.y == 1, -logits, logits))).sum() + weights.square().sum() / (
            2 * self.strength
        )

    def _scale(self, shares: Tensor) -> tuple[Tensor, Tensor]:
        mean = shares @ self.x / shares.sum()
        square = shares @ (self.x - mean).square() / (shares.sum() - 1)
        return mean, torch.where(square > 0, square, 1.0).sqrt()

    def _minimum(self, shares: Tensor) -> Tensor:
        """Newton's method, each step by conjugate gradients; one step where the objective is quadratic."""
        size = {"mean_difference": 2, "linear": 1, "logistic": 1}[self.kind] * self.x.shape[1]
        at = torch.zeros(size + (self.kind == "logistic"), dtype=torch.float64)
        for _ in range(NEWTON):
            at = at.requires_grad_()
            slope = sum_over(self, at, shares, lambda one: one)
            if float(slope.norm()) <= STILL * float(shares.sum()):
                break
            at = (at - conjugate_gradients(curvature(self, at, shares), slope, 4 * size)).detach()
        return at.detach()
