"""Vectors made for a measured effect: a linear model of what steering along any vector does (SAE-TS).

A decoder row is written where a feature is read, and often does something else as well. So the effect of many vectors
is measured, and the vector whose predicted effect is the wanted one is computed from a linear model:

    y(v) = (v M + b) scale        s = M t / |M t| - common M b / |M b|, made a unit vector

b is what every vector of that dose does, mostly damage; the second term turns away from it. y may be anything that is
read from outputs: a dictionary's features on rollouts that are read again, shares of notes, objects mentioned.

Source: Chalnev, Siu and Conmy 2024, arXiv:2411.02193; there stochastic gradients fit what here is solved.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.sae import SparseDictionary
from mmsteer.types import Direction, LogHistogram, Site, SiteStats

RIDGES = tuple(10.0**power for power in range(-3, 4))
"""Penalties that are tried; unit vectors have a mean square of 1 / width in each coordinate."""


@dataclass(frozen=True, eq=False)
class StateStatistics:
    """Where vectors are written, and the scale of what is there.

    `model`: fingerprint of the model.
    `states`: its hidden states without steering, (rows, width).
    """

    site: Site
    model: str
    states: Tensor

    def direction(self, name: str, vector: Tensor, provenance: Mapping[str, str] | None = None) -> Direction:
        """A vector as a direction that the engine steers.

        Args:
            name: `family:label`.
            vector: (width,) of any length but zero.
            provenance: How it was found.
        """
        unit = vector.detach().float().cpu()
        unit = unit / unit.norm()
        states = self.states.float()
        along = states @ unit
        stats = SiteStats.of(None, along, LogHistogram.of(states.norm(dim=-1)))
        return Direction(name, {self.site: unit}, {self.site: stats}, self.model, dict(provenance or {}))


def probing_vectors(
    ground: StateStatistics, dictionary: SparseDictionary, features: Sequence[int], random: int, seed: int
) -> tuple[Direction, ...]:
    """Vectors whose effect is worth measuring: decoder rows, and random ones for what no row covers.

    `ground`: Where they are written.
    `random`: how many random unit vectors.
    """
    draws = torch.randn(random, dictionary.width, generator=torch.Generator().manual_seed(seed))
    rows = [ground.direction(f"row:{feature}", dictionary.direction(feature)) for feature in features]
    return (*rows, *(ground.direction(f"random:{place}", draw) for place, draw in enumerate(draws)))


@dataclass(frozen=True, eq=False)
class EffectModel:
    """A linear model of the effect of steering along unit vectors, at the dose at which effects were measured.

    Attributes:
        names: What is measured.
        matrix: M, (width, outputs).
        bias: b, (outputs,).
        scale: Standard deviation of each effect over the vectors, (outputs,): outputs of any unit count alike; 1 where
            effects are fitted in their own units.
        ridge: The penalty.
        r2: R² of each output on vectors that were left out one at a time, (outputs,); at or below 0 the model says no
            more than the mean.
        vectors: How many vectors it was fitted on.
    """

    names: tuple[str, ...]
    matrix: Tensor
    bias: Tensor
    scale: Tensor
    ridge: float
    r2: Tensor
    vectors: int

    def predict(self, vectors: Tensor) -> Tensor:
        """Effects, (n, outputs), in the units of the measurements.

        `vectors`: unit vectors, (n, width).
        """
        return (vectors @ self.matrix + self.bias) * self.scale

    def vector(self, target: Mapping[str, float], *, common: float = 1.0) -> Tensor:
        """The unit vector for a wanted effect, (width,).

        `target`: how much of which output is wanted, in standard deviations; the others at zero.
        `common`: how much of the direction of what every vector does is taken off; the paper's is 1.

        Raises:
            ProbeError: An output is unknown, or nothing has the effect.
        """
        unknown = sorted(target.keys() - set(self.names))
        if unknown or not target:
            raise ProbeError(f"no effect {unknown[:1] or 'is wanted'}; choose from {', '.join(self.names)}")
        wanted = torch.tensor([target.get(name, 0.0) for name in self.names]).to(self.matrix)
        s = _unit(self.matrix @ wanted) - common * _unit(self.matrix @ self.bias)
        if not s.any():
            raise ProbeError(f"no vector has the effect {dict(target)}: the model sees none of it in the data")
        return _unit(s)

    def direction(
        self, ground: StateStatistics, target: Mapping[str, float], name: str, *, common: float = 1.0
    ) -> Direction:
        """The same as a direction.

        Args:
            ground: Where the effects were measured.
            target: As for `vector`.
            name: `family:label`.
            common: As for `vector`.
        """
        provenance = {
            "probe": "sae-ts",
            "target": ", ".join(f"{key} {value:g}" for key, value in target.items()),
            "common": f"{common:g}",
            "ridge": f"{self.ridge:g}",
            "vectors": str(self.vectors),
        }
        return ground.direction(name, self.vector(target, common=common), provenance)


@torch.no_grad()
def fit_effects(
    vectors: Tensor, effects: Tensor, names: Sequence[str], ridges: Sequence[float] = RIDGES, *, raw: bool = False
) -> EffectModel:
    """Fit the linear model. The intercept is not penalised; of several penalties the best on left-out vectors stays.

    Args:
        vectors: Unit vectors, (n, width).
        effects: What each did, (n, outputs); vectors with an effect that is not known (NaN) are left out.
        names: Of the outputs.
        ridges: Penalties to choose from; one alone is taken as it is.
        raw: Fit effects in their own units, as published, so that common effects weigh by size; otherwise each is
            divided by its spread over the vectors.

    Raises:
        ProbeError: The shapes do not fit, fewer than three vectors have known effects, or all have the same.
    """
    if vectors.ndim != 2 or effects.shape != (len(vectors), len(names)) or not ridges:
        raise ProbeError(
            f"effects of shape {tuple(effects.shape)} for vectors of shape {tuple(vectors.shape)}, {len(names)} names "
            f"and {len(ridges)} penalties; expected (vectors, names) and a penalty"
        )
    known = ~effects.isnan().any(dim=1)
    if int(known.sum()) < 3:
        raise ProbeError(f"{int(known.sum())} of {len(vectors)} vectors have known effects; three or more are needed")
    v, y = vectors[known].double(), effects[known].double()
    scale = y.std(dim=0)
    if not (scale > 0).all():
        same = names[int(scale.argmin())]
        raise ProbeError(f"{same!r} is the same under all {len(v)} vectors; measure more rollouts, or leave it out")
    scale = torch.ones_like(scale) if raw else scale
    y = y / scale
    best = min((_ridge(v, y, ridge) for ridge in ridges), key=lambda fit: float(fit.left_out.square().mean()))
    r2 = 1 - best.left_out.square().sum(dim=0) / (y - y.mean(dim=0)).square().sum(dim=0)
    matrix, bias = best.matrix.float(), best.bias.float()
    return EffectModel(tuple(names), matrix, bias, scale.float(), best.ridge, r2.float(), len(v))


@dataclass(frozen=True, eq=False)
class _Fit:
    ridge: float
    matrix: Tensor
    bias: Tensor
    left_out: Tensor
    """Errors at each vector of the model that was fitted without it, (n, outputs)."""


def _ridge(v: Tensor, y: Tensor, ridge: float) -> _Fit:
    centre, mean = v.mean(dim=0), y.mean(dim=0)
    x = v - centre
    penalty = ridge * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    solver = torch.linalg.solve(x.T @ x + penalty, x.T)
    matrix = solver @ (y - mean)
    # Leaving a vector out changes its error by a factor that its leverage alone decides.
    leverage = 1 / len(v) + (x * solver.T).sum(dim=1)
    errors = y - mean - x @ matrix
    return _Fit(ridge, matrix, mean - centre @ matrix, errors / (1 - leverage).clamp(min=1e-9)[:, None])


def _unit(vector: Tensor) -> Tensor:
    norm = float(vector.norm())
    return vector / norm if norm > 0 and math.isfinite(norm) else torch.zeros_like(vector)
