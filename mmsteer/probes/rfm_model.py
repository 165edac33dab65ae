"""One recursive feature machine: kernel regression whose metric is learned from its own gradients."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from mmsteer.probes.distances import Distances
from mmsteer.probes.kernel import Gradients, Setting, predict, solve, solve_on_centres
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
        centres: Which training points the kernel is centred at, (centres,) int64; None for all.
    """

    space: Space
    train: Tensor
    validation: Tensor
    outside: Tensor
    centres: Tensor | None = None

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
    def plain(self) -> "Measured":
        """The points under the identity metric."""
        return self._measured(self.train, None)

    def under(self, metric: Tensor, mapped: Tensor) -> "Measured":
        """The points under a learned metric.

        `metric`: (rank, rank).
        `mapped`: the training points times the metric, (n, rank).
        """
        return self._measured(mapped, metric)

    def central(self, train: Tensor) -> Tensor:
        """The rows of the centres, (centres, rank).

        `train`: a row for each training point, (n, rank).
        """
        return train if self.centres is None else train[self.centres]

    def of_training(self, rows: Tensor) -> "Points":
        """The same with some of the training points, all of them centres.

        `rows`: which, (rows,) int64.
        """
        return Points(self.space, self.train[rows], self.validation, self.outside)

    def centred(self, rows: Tensor) -> "Points":
        """The same with a kernel that is centred at some of the training points.

        `rows`: which, (rows,) int64.
        """
        return replace(self, centres=rows)

    def within(self, columns: Tensor) -> "Points":
        """The points in the part of their space that some directions span.

        `columns`: orthonormal columns, (rank, smaller rank).
        """
        validation = self.validation @ columns
        lost = self.validation.square().sum(dim=1) - validation.square().sum(dim=1)
        space = self.space.within(columns)
        return Points(space, self.train @ columns, validation, self.outside + lost, self.centres)

    def _measured(self, mapped: Tensor, metric: Tensor | None) -> "Measured":
        # A learned metric annihilates what is outside the span.
        beyond = self.outside if metric is None else None
        centres, mapped_centres = self.central(self.train), self.central(mapped)
        d2 = Distances.among(self.train, mapped, self.centres)
        return Measured(
            mapped,
            mapped_centres,
            d2,
            d2 if self.centres is None else Distances.among(centres, mapped_centres),
            Distances.between(self.validation, centres, metric, beyond),
        )


@dataclass(frozen=True, eq=False)
class Measured:
    """Points under a metric; distances are squared.

    Attributes:
        mapped: The training points times the metric, (n, rank).
        mapped_centres: The centres times the metric, (centres, rank).
        train: From training points to centres, (n, centres).
        centres: Among centres.
        validation: From validation points to centres, (m, centres).
    """

    mapped: Tensor
    mapped_centres: Tensor
    train: Distances
    centres: Distances
    validation: Distances

    def coefficients(self, columns: Tensor, setting: Setting) -> Tensor:
        """Kernel ridge regression, (centres, labels).

        `columns`: targets of the training points, (n, labels).
        `setting`: the kernel and the ridge.
        """
        if self.centres is self.train:
            return solve(self.train, columns, setting)
        return solve_on_centres(self.train, self.centres, columns, setting)

    def gradients(self, coefficients: Tensor, setting: Setting) -> Gradients:
        """Gradients of the outputs at the training points.

        `coefficients`: (centres, labels).
        """
        return Gradients(self.mapped, self.mapped_centres, self.train, coefficients, setting)


@dataclass(frozen=True, eq=False)
class Machine:
    """A kernel predictor with its metric.

    Attributes:
        points: The points it was fitted on.
        setting: Its kernel.
        metric: M, (rank, rank); None is the identity.
        coefficients: (centres, labels).
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
        d2 = Distances.between(inside, self.points.central(self.points.train), self.metric, beyond)
        return predict(d2, self.coefficients, self.setting)

    def gradients(self) -> Gradients:
        """Gradients of the outputs at the training points."""
        points, metric = self.points, self.metric
        measured = points.plain if metric is None else points.under(metric, points.train @ metric)
        return measured.gradients(self.coefficients, self.setting)


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
    measured = points.plain
    best: Machine | None = None
    for rounds in range(iterations + 1):
        coefficients = measured.coefficients(columns, setting)
        reached = quality(predict(measured.validation, coefficients, setting))
        if best is None or reached > best.quality:
            best = Machine(points, setting, metric, coefficients, reached, rounds)
        if rounds == iterations or best.quality >= ceiling or reached < best.quality / PATIENCE:
            break
        learned = normalise(measured.gradients(coefficients, setting).metric(centre=setting.centre))
        if metric is not None and (learned - metric).norm() <= STILL * metric.norm():
            break
        points, metric, mapped = narrowed(points, learned)
        measured = points.under(metric, mapped)
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
