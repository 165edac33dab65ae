"""Training samples as units: what a number of something learned owes to each sample that it was learned from."""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from mmsteer.attribution.attribute import Attribution
from mmsteer.attribution.techniques import Effort, asked_of
from mmsteer.errors import AttributionError

TOLERANCE = 1e-6
"""Of the residual of conjugate gradients, relative to what is solved for."""


class Learned(Protocol):
    """Parameters that minimise a sum over samples, each times its share, and a number that depends on them."""

    @property
    def names(self) -> tuple[str, ...]:
        """One name a training sample."""

    @property
    def parameters(self) -> Tensor:
        """What was learned from all samples, (parameters,)."""

    def terms(self, parameters: Tensor, shares: Tensor) -> Iterator[Tensor]:
        """The objective in parts, made one after another so that only one graph is held; their sum is minimised.

        Args:
            parameters: (parameters,).
            shares: How much each sample counts, (samples,).
        """

    def number(self, parameters: Tensor, shares: Tensor) -> Tensor:
        """What is shared out, such as how far a probe tells held-out samples apart.

        Args:
            parameters: (parameters,).
            shares: As of `terms`, for what is computed from the samples beside the parameters, such as their mean.
        """

    def again(self, shares: Tensor) -> float:
        """The number where only samples with the share 1 are learned from.

        Args:
            shares: 0 or 1 a sample, (samples,).
        """


def attribute_training(
    learned: Learned,
    technique: str = "influence",
    effort: Effort = Effort(),  # noqa: B008  a frozen value
    *,
    damping: float = 0.0,
) -> Attribution:
    """Share a number of something learned out among the samples that it was learned from.

    A sample's value is by how much the number is higher for its being there: samples with a wrong label come out below
    zero. `influence` says it to first order from what was learned once; the others learn again without samples.

    Args:
        learned: What was learned.
        technique: `influence`, `datamodels`, `occlusion` (each left out alone), `shapley` or `exact-shapley`.
        effort: How hard it tries; conjugate gradients take at most `steps` steps.
        damping: Of `influence`: the share of the curvature along the number's slope that is added in all directions.

    Raises:
        AttributionError: The technique is not of training samples, or the objective has no minimum where it is.

    Source: influence: Koh and Liang 2017, arXiv:1703.04730; datamodels: Ilyas et al. 2022, arXiv:2202.00622; Shapley
    values of data: Ghorbani and Zou 2019, arXiv:1904.02868.
    """
    run = asked_of(technique, "samples").run
    count = len(learned.names)
    ends = [learned.again(torch.full((count,), share)) for share in (1.0, 0.0)]
    values = influence(learned, effort.steps, damping) if run is None else run(_again(learned), count, effort)
    return Attribution("samples", technique, learned.names, values.double(), ends[0], ends[1])


def influence(learned: Learned, steps: int, damping: float) -> Tensor:
    """Change of the number with the share of each sample, (samples,), at the minimum for all.

    The inverse Hessian is applied to the slope of the number by conjugate gradients, which for a quadratic objective
    is exact after as many steps as there are parameters.

    Args:
        learned: What was learned.
        steps: Of conjugate gradients, at most.
        damping: See `attribute_training`.

    Raises:
        AttributionError: The objective bends downwards.
    """
    parameters = learned.parameters.detach().clone().requires_grad_()
    shares = torch.ones(len(learned.names), dtype=parameters.dtype, requires_grad=True)
    said = learned.number(parameters, shares)
    goal, found = torch.autograd.grad(said, (parameters, shares), allow_unused=True, materialize_grads=True)

    curved = curvature(learned, parameters, shares)
    added = damping * float(curved(goal).norm() / goal.norm()) if damping and goal.norm() > 0 else 0.0
    along = conjugate_gradients(lambda one: curved(one) + added * one, goal, steps)
    moved = sum_over(learned, parameters, shares, lambda slope: torch.autograd.grad(slope @ along, shares)[0])
    return (found - moved).detach()


def sum_over(learned: Learned, parameters: Tensor, shares: Tensor, taken: Callable[[Tensor], Tensor]) -> Tensor:
    """Something of the objective's slope, (parameters,), summed over its terms.

    Args:
        learned: What was learned.
        parameters: Where the slope is taken.
        shares: How much each sample counts.
        taken: From the slope of one term, with its graph, to what is summed.
    """
    parts = (
        taken(torch.autograd.grad(term, parameters, create_graph=True)[0]) for term in learned.terms(parameters, shares)
    )
    total = next(parts).detach()
    for part in parts:
        total = total + part.detach()
    return total


def curvature(learned: Learned, parameters: Tensor, shares: Tensor) -> Callable[[Tensor], Tensor]:
    """Products of the objective's Hessian with a vector.

    Args:
        learned: What was learned.
        parameters: Where it is taken, with gradients.
        shares: How much each sample counts.
    """

    def product(along: Tensor) -> Tensor:
        return sum_over(learned, parameters, shares, lambda slope: torch.autograd.grad(slope, parameters, along)[0])

    return product


def conjugate_gradients(matrix: Callable[[Tensor], Tensor], goal: Tensor, steps: int) -> Tensor:
    """The x with matrix(x) = goal, for a symmetric positive matrix.

    Args:
        matrix: Multiplies by it.
        goal: (n,).
        steps: At most.

    Raises:
        AttributionError: The matrix is not positive along some direction.

    Source: Hestenes and Stiefel 1952, doi:10.6028/jres.049.044.
    """
    found, left = torch.zeros_like(goal), goal.clone()
    along, size = left.clone(), left @ left
    for _ in range(steps):
        if float(left.norm()) <= TOLERANCE * float(goal.norm()):
            break
        turned = matrix(along)
        bend = along @ turned
        if float(bend) <= 0:
            raise AttributionError(
                "the objective bends downwards where it was left, so that no inverse of its Hessian says what would be "
                "learned without a sample; give more --damping, or take datamodels, which learn again"
            )
        found, left = found + size / bend * along, left - size / bend * turned
        size, before = left @ left, size
        along = left + size / before * along
    return found


def _again(learned: Learned) -> Callable[[Tensor], Tensor]:
    """The number for rows of shares, (rows, samples); what was learned once is known."""
    known: dict[bytes, float] = {}

    def one(shares: Tensor) -> float:
        key = shares.bool().numpy().tobytes()
        if key not in known:
            with torch.enable_grad():  # captum asks without
                known[key] = learned.again(shares)
        return known[key]

    return lambda shares: torch.tensor([one(row) for row in shares.detach()])
