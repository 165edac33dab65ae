"""LF-Steering: features that separate wanted from unwanted samples are moved towards the wanted, where active."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.controls import random_features
from mmsteer.latents.pooling import Pooled, pooled
from mmsteer.latents.side_effects import Comparison, compare
from mmsteer.latents.trials import Trials
from mmsteer.probes import Logistic, sweep
from mmsteer.record import record
from mmsteer.sae import SELECTORS, SparseDictionary, feature_direction
from mmsteer.sae.coefficients import mean_difference
from mmsteer.steering import Attribute, Gate, Steering
from mmsteer.types import OUTPUT, Adapter, Direction, Positions, Sample, Site


@dataclass(frozen=True, eq=False)
class LatentFeatures:
    """What LF-Steering found.

    Attributes:
        scores: Held-out AUC of a linear classifier at each dictionary's site.
        site: The best of them, which is steered.
        features: The features that separate the two sides best, the best first.
        biases: What is added to each where it is active, in units of its activation; below zero for those that belong
            to the unwanted side.
        directions: The features as directions.
        lengths: Lengths of their decoder rows.
        positions: Which tokens are steered.
        comparison: The test, beside its control; None where no test was given.
    """

    scores: Mapping[Site, float]
    site: Site
    features: tuple[int, ...]
    biases: tuple[float, ...]
    directions: tuple[Direction, ...]
    lengths: tuple[float, ...]
    positions: Positions
    comparison: Comparison | None = None

    def steering(self) -> Steering:
        """The steering: z + bias wherever z is active."""
        return _biased(self.directions, self.biases, self.lengths, self.positions)

    def table(self) -> list[dict[str, Any]]:
        """One row a feature, as plain values."""
        rows = zip(self.features, self.biases, strict=True)
        return [{"site": str(self.site), "feature": one, "bias": bias} for one, bias in rows]


def run_lf(
    adapter: Adapter,
    dictionaries: Sequence[SparseDictionary],
    wanted: Sequence[Sample],
    unwanted: Sequence[Sample],
    *,
    k: int = 10,
    alpha: float = 3.0,
    selector: str = "auroc",
    pool: str = "mean",
    positions: Positions = OUTPUT,
    test: Sequence[Trials] = (),
    batch: int = 8,
    seed: int = 0,
) -> LatentFeatures:
    """Choose the layer that separates wanted from unwanted samples, and the features there that do; move them.

    A feature's bias is alpha times how far its mean over wanted samples lies above the mean over all.

    Args:
        adapter: The model.
        dictionaries: With thresholds, each at a site of its own.
        wanted: Samples with their outputs, such as paraphrases that are answered alike.
        unwanted: The same where it goes wrong.
        k: Features.
        alpha: Factor of the biases.
        selector: A name of `sae.SELECTORS`; features with a large score of either sign are taken.
        pool: How activations are pooled over tokens.
        positions: The tokens that are read and steered.
        test: What is tried; each is run unsteered, steered, and with the same biases on random features.
        batch: Samples a forward.
        seed: Seed of the control.

    Raises:
        DictionaryError: No feature separates the samples.

    Source: Yang et al. 2025, arXiv:2501.11036.
    """
    # A recording knows samples by name, and the two sides may be the same prompts.
    samples = [replace(one, id=str(place)) for place, one in enumerate([*wanted, *unwanted])]
    y = torch.arange(len(samples)) < len(wanted)
    scores = _layer_scores(adapter, dictionaries, samples, y, positions, batch)
    dictionary = max(dictionaries, key=lambda one: scores[one.located(adapter)])
    found = pooled(adapter, dictionary, samples, positions=positions, pool=pool, batch=batch)
    features = _telling(found, y, selector, k)
    biases = mean_difference(found.z, y, features, alpha=alpha).tolist()
    result = _result(dictionary, features, biases, found, scores, positions)
    if not test:
        return result
    others = random_features(found.used, len(features), without=features, seed=seed)
    control = _result(dictionary, others, biases, found, scores, positions)
    steerings = {"steered": result.steering(), "random features": control.steering()}
    return replace(result, comparison=compare(adapter, test, steerings))


def _layer_scores(
    adapter: Adapter,
    dictionaries: Sequence[SparseDictionary],
    samples: Sequence[Sample],
    y: torch.Tensor,
    positions: Positions,
    batch: int,
) -> dict[Site, float]:
    sites = [one.located(adapter) for one in dictionaries]
    states = record(adapter, samples, sites, positions=positions, pool="mean", batch=batch)
    found = sweep(Logistic(), states, y.int().tolist(), family="wanted", task="binary", progress=False)
    return {row.site: row.score for row in found.rows}


def _telling(found: Pooled, y: torch.Tensor, selector: str, k: int) -> list[int]:
    # Features whose activation differs between the two sides, in either direction.
    if selector not in SELECTORS:
        raise DictionaryError(f"no selector {selector!r}; choose from {', '.join(sorted(SELECTORS))}")
    scores = SELECTORS[selector](found.z, y).abs()
    order = scores.argsort(descending=True, stable=True)[:k]
    features: list[int] = order[scores[order] > 0].tolist()
    if not features:
        raise DictionaryError(f"no feature separates {int(y.sum())} wanted samples from the other {int((~y).sum())}")
    return features


def _result(
    dictionary: SparseDictionary,
    features: Sequence[int],
    biases: Sequence[float],
    found: Pooled,
    scores: Mapping[Site, float],
    positions: Positions,
) -> LatentFeatures:
    directions = tuple(feature_direction(dictionary, one, found.used) for one in features)
    lengths = tuple(dictionary.decoder[list(features)].norm(dim=1).tolist())
    return LatentFeatures(
        scores, directions[0].sites[0], tuple(features), tuple(biases), directions, lengths, positions
    )


def _biased(
    directions: Sequence[Direction], biases: Sequence[float], lengths: Sequence[float], positions: Positions
) -> Steering:
    return Steering(
        tuple(
            Attribute(one, bias * length, positions=positions, unit="absolute", gate=Gate(one, side="active"))
            for one, bias, length in zip(directions, biases, lengths, strict=True)
        )
    )
