"""SAIF: what an instruction switches on, steered in its place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.controls import added, controls, twin
from mmsteer.latents.pooling import pooled
from mmsteer.latents.side_effects import Comparison, compare
from mmsteer.latents.trials import Trials
from mmsteer.sae import SELECTORS, SparseDictionary, combined_direction
from mmsteer.sae.coefficients import mean_plus_spread
from mmsteer.steering import Steering
from mmsteer.types import OUTPUT, Adapter, Direction, Positions, Sample

LAST = Positions("last")
"""The token that has read the whole prompt."""
LEAST = 0.8
"""Sensitivity from which a feature counts as the instruction's."""


@dataclass(frozen=True, eq=False)
class Saif:
    """What SAIF found.

    Attributes:
        features: The instruction's features, the most sensitive first.
        sensitivity: Of each: share of the pairs in which it is active with the instruction alone.
        coefficients: Of each: mean and a multiple of its spread over the samples with the instruction.
        direction: Their sum, with its natural strength.
        positions: Which tokens are steered.
        comparison: The test, beside its controls; None where no test was given.
    """

    features: tuple[int, ...]
    sensitivity: tuple[float, ...]
    coefficients: tuple[float, ...]
    direction: Direction
    positions: Positions
    comparison: Comparison | None = None

    def steering(self) -> Steering:
        """The steering: the sum of all features."""
        return added([self.direction], self.positions)

    def table(self) -> list[dict[str, Any]]:
        """One row a feature, as plain values."""
        rows = zip(self.features, self.sensitivity, self.coefficients, strict=True)
        return [{"feature": one, "sensitivity": share, "coefficient": c} for one, share, c in rows]


def run_saif(
    adapter: Adapter,
    dictionary: SparseDictionary,
    instructed: Sequence[Sample],
    plain: Sequence[Sample],
    *,
    name: str = "saif:instruction",
    k: int = 15,
    beta: float = 0.5,
    least: float = LEAST,
    read: Positions = LAST,
    positions: Positions = OUTPUT,
    test: Sequence[Trials] = (),
    batch: int = 8,
    seed: int = 0,
) -> Saif:
    """Find the features that are active with an instruction alone, and add them where it is not given.

    Args:
        adapter: The model.
        dictionary: Of the layer to steer.
        instructed: Prompts with the instruction, in several wordings.
        plain: Prompts without it, of the same contents.
        name: Name of the direction, `family:label`.
        k: Most features.
        beta: Spreads above the mean.
        least: Least share of pairs (instructed, plain) in which a feature is active in the first alone.
        read: The tokens that are compared.
        positions: The tokens that are steered.
        test: Prompts without the instruction, with what follows it as the reward; each is run unsteered, steered, with
            a random direction and with as many random features of the same norm.
        batch: Samples a forward.
        seed: Seed of the controls.

    Raises:
        DictionaryError: No feature is as sensitive.

    Source: He et al. 2025, arXiv:2502.11356.
    """
    found = pooled(adapter, dictionary, [*instructed, *plain], positions=read, batch=batch)
    y = torch.arange(len(found.z)) < len(instructed)
    scores = SELECTORS["positive_only"](found.z, y)
    order = scores.argsort(descending=True, stable=True)[:k]
    features: list[int] = order[scores[order] >= least].tolist()
    if not features:
        raise DictionaryError(
            f"no feature is active in {least:.0%} of the pairs with the instruction alone; the most sensitive one has "
            f"{float(scores.max()):.0%}: ask for less, or read another layer or token"
        )
    coefficients = mean_plus_spread(found.z, y, features, beta=beta)
    direction = combined_direction(dictionary, features, coefficients, found.used, name)
    result = Saif(tuple(features), tuple(scores[features].tolist()), tuple(coefficients.tolist()), direction, positions)
    if not test:
        return result
    other = twin(dictionary, direction, features, found.used, seed)
    steerings = {"steered": result.steering()} | controls([direction], [other], positions, seed=seed)
    return replace(result, comparison=compare(adapter, test, steerings))
