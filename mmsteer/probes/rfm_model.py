"""One recursive feature machine: kernel regression whose metric is learned from its own gradients."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mmsteer.probes.distances import Distances
from mmsteer.probes.kernel import Gradients, Setting, predict, solve
from mmsteer.probes.space import Space
from mmsteer.probes.spectrum import carriers, top_eigenvector

# A draw is given up when its validation quality falls below the best so far divided by this (xRFM's rule).
PATIENCE = 1.1
# A metric stands still when an update changes it by less than this share: predictions then change in the sixth digit.
STILL = 1e-4

Quality = Callable[[Tensor], float]
Normalise = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Points:
    """Training and validation points in their space.

    The distances of the identity metric do not depend on the setting, so all draws of a search share them, as far as
    they are kept.

    Attributes:
        space: Where the points live.
        train: Training points, (n, rank).
        validation: Validation points, (m, rank).
        outside: Squared distance of each validation point from the space, (m,).
    """

    space: Space
    train: Tensor
    validation: Tensor
    outside: Tensor

    @classmethod
    def of(cls, space: Space, train: Tensor, validation: Tensor) -> "Points":
        """Take hidden states into a space.

        Args:
            space: The space of the training states.
            train: Training states, (n, width).
            validation: Validation states, (m, width).
        """
        return cls(space, space.enter(train)[0], *space.enter(validation))

    @cached_property
    def d2_train(self) -> Distances:
        """Squared distances between training points, (n, n)."""
        return Distances.among(self.train, self.train)

    @cached_property
    def d2_validation(self) -> Distances:
        """Squared distances from validation to training points, (m, n)."""
        return Distances.between(self.validation, self.train, None, self.outside)

    def of_training(self, rows: Tensor) -> "Points":
        """The same with some of the training points.

        `rows`: which, (rows,) int64.
        """
        return Points(self.space, self.train[rows], self.validation, self.outside)

    def within(self, columns: Tensor) -> "Points":
        """The points in the part of their space that some directions span.

        `columns`: orthonormal columns, (rank, smaller rank).
        """
        validation = self.validation @ columns
        lost = self.validation.square().sum(dim=1) - validation.square().sum(dim=1)
        return Points(self.space.within(columns), self.train @ columns, validation, self.outside + lost)


@dataclass(frozen=True, eq=False)
class Machine:
    """A kernel predictor with its metric.

    Attributes:
        points: The points it was fitted on.
        setting: Its kernel.
        metric: M, (rank, rank); None is the identity.
        coefficients: (n, labels).
        quality: Validation quality.
        rounds: How many times the metric had been updated.
    """

    points: Points
    setting: Setting
    metric: Tensor | None
    coefficients: Tensor
    quality: float
    rounds: int

    def __call__(self, x: Tensor) -> Tensor:
        """Predictions for hidden states, (n, labels).

        `x`: hidden states, (n, width).
        """
        inside, outside = self.points.space.enter(x)
        # A learned metric annihilates what is outside the span.
        beyond = outside if self.metric is None else None
        d2 = Distances.between(inside, self.points.train, self.metric, beyond)
        return predict(d2, self.coefficients, self.setting)

    def gradients(self) -> Gradients:
        """Gradients of the outputs at the training points."""
        train = self.points.train
        if self.metric is None:
            return Gradients(train, self.points.d2_train, self.coefficients, self.setting)
        mapped = train @ self.metric
        return Gradients(mapped, Distances.among(train, mapped), self.coefficients, self.setting)


def learn(
    points: Points,
    columns: Tensor,
    setting: Setting,
    iterations: int,
    quality: Quality,
    normalise: Normalise,
    ceiling: float = math.inf,
) -> Machine:
    """Alternate between fitting the predictor and taking its AGOP as the metric; keep the best predictor.

    It ends early, with the same result, when the quality cannot be beaten and when the metric stands still.

    Args:
        points: Training and validation points.
        columns: Targets of the training points, centred, (n, labels).
        setting: Kernel, ridge and centring.
        iterations: How often the metric may be updated.
        quality: From validation predictions to a positive number; larger is better.
        normalise: The scale of a learned metric.
        ceiling: The quality of perfect predictions.
    """
    metric: Tensor | None = None
    d2, d2_validation, mapped = points.d2_train, points.d2_validation, points.train
    best: Machine | None = None
    for rounds in range(iterations + 1):
        coefficients = solve(d2, columns, setting)
        reached = quality(predict(d2_validation, coefficients, setting))
        if best is None or reached > best.quality:
            best = Machine(points, setting, metric, coefficients, reached, rounds)
        if rounds == iterations or best.quality >= ceiling or reached < best.quality / PATIENCE:
            break
        learned = normalise(Gradients(mapped, d2, coefficients, setting).metric(centre=setting.centre))
        if metric is not None and (learned - metric).norm() <= STILL * metric.norm():
            break
        points, metric, mapped = narrowed(points, learned)
        d2 = Distances.among(points.train, mapped)
        d2_validation = Distances.between(points.validation, points.train, metric)
    assert best is not None
    return best


def narrowed(points: Points, metric: Tensor) -> tuple[Points, Tensor, Tensor]:
    """Points and metric in the directions that carry the distances, and the mapped training points there.

    `points`: points, in any coordinates.
    `metric`: A learned metric in these coordinates.
    """
    mapped = points.train @ metric
    found = carriers(metric, points.train, mapped)
    if found is None:
        return points, metric, mapped
    values, vectors = found
    inside = points.within(vectors)
    return inside, values.diag(), inside.train * values


def fixed_trace(width: int) -> Normalise:
    """Scale metrics to the trace width / (2 ln width).

    The trace does not depend on the basis, so the fit in the row span is the fit in all dimensions; the
    largest entry, by which xRFM divides, does depend on it. Its largest squared entry makes a random unit
    vector's outer product about width / (2 ln width) long, so this is the trace that dividing by the
    largest entry gives on average, and bandwidths mean what they mean in xRFM.

    `width`: dimensions of the hidden states, also when the fit runs in fewer.
    """
    trace = width / max(1.0, 2 * math.log(width))
    return lambda metric: metric * (trace / metric.trace().clamp(min=torch.finfo(metric.dtype).tiny))


def directions_of(machine: Machine, columns: Tensor) -> Tensor:
    """Top eigenvector of each output's AGOP, pointing to growing targets, (rank, labels) in coordinates.

    The AGOP is not centred here, whatever the metric was learned from: the mean gradient, which centring
    removes, is the direction in which the concept grows. (Sign-linear toy, n=600, d=128: mean cosine with the
    truth .70, against .635 for the centred one.) A predictor without gradients has the zero vector.

    `machine`: the best predictor.
    `columns`: targets of its training points, centred, (n, labels).
    """
    gradients = machine.gradients()
    tops = [_top_eigenvector(gradients.outer(k)) for k in range(columns.shape[1])]
    vectors = torch.stack(tops, dim=1)
    return vectors * ((machine.points.train @ vectors) * columns).sum(dim=0).sign()


def _top_eigenvector(agop: Tensor) -> Tensor:
    trace = agop.trace()
    if trace == 0:
        return torch.zeros_like(agop[0])
    # Gradients shrink with the bandwidth; on a common scale they cannot underflow.
    return top_eigenvector(agop / trace)
