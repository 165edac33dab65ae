"""CorrSteer: steer the features whose activation goes with a reward on the model's own outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.controls import added, controls, twin
from mmsteer.latents.pooling import Pooled, pooled_layers
from mmsteer.latents.side_effects import Comparison, compare
from mmsteer.latents.trials import Trials
from mmsteer.sae import COEFFICIENTS, SELECTORS, SparseDictionary, combined_direction
from mmsteer.steering import Steering
from mmsteer.types import OUTPUT, Adapter, Direction, Positions, Score, Site, mean_score

Variant = Literal["S", "A", "P"]
VARIANTS: tuple[Variant, ...] = ("S", "A", "P")


@dataclass(frozen=True, eq=False)
class Candidate:
    """The best feature of one dictionary.

    Attributes:
        site: Where the dictionary is.
        feature: Its number.
        correlation: Of its pooled activation with the reward.
        coefficient: Mean pooled activation over right outputs: what is added, in units of the activation.
        direction: The feature, with that as its natural strength.
        control: A random feature of the same dictionary, as strong.
        change: What it alone did to the reward on the validation prompts; None where that was not asked.
    """

    site: Site
    feature: int
    correlation: float
    coefficient: float
    direction: Direction
    control: Direction
    change: float | None = None


@dataclass(frozen=True, eq=False)
class CorrSteer:
    """What CorrSteer found.

    Attributes:
        variant: `S`, `A` or `P`.
        candidates: The best feature of each dictionary that has one with a positive correlation.
        kept: Those that are steered, all at once; none where validation kept none. Controls are kept likewise.
        rewards: Mean reward of the outputs that were learnt from.
        multiple: Of the coefficients.
        positions: Which tokens are steered.
        comparison: The test, beside its controls; None where no test was given.
    """

    variant: Variant
    candidates: tuple[Candidate, ...]
    kept: tuple[Candidate, ...]
    rewards: Score
    multiple: float
    positions: Positions
    comparison: Comparison | None = None

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that are steered, one a site."""
        return tuple(one.direction for one in self.kept)

    def steering(self) -> Steering:
        """The steering: each feature with its coefficient."""
        return added(self.directions, self.positions, self.multiple)

    def table(self) -> list[dict[str, Any]]:
        """One row a candidate, as plain values."""
        return [
            {
                "site": str(one.site),
                "feature": one.feature,
                "correlation": one.correlation,
                "coefficient": one.coefficient,
                "validation_change": one.change,
                "kept": one in self.kept,
            }
            for one in self.candidates
        ]


def run_corrsteer(
    adapter: Adapter,
    dictionaries: Sequence[SparseDictionary],
    training: Trials,
    *,
    variant: Variant = "A",
    validation: Trials | None = None,
    test: Sequence[Trials] = (),
    multiple: float = 1.0,
    pool: str = "max",
    read: Positions = OUTPUT,
    positions: Positions = OUTPUT,
    seed: int = 0,
) -> CorrSteer:
    """Let the model answer unsteered, and find the feature of each dictionary that goes with the reward.

    `S` steers the best feature of all dictionaries, `A` the best of each, `P` those of `A` that raise the reward on
    validation prompts when each is steered alone; of the controls, too, those are kept that do. Features that go with a
    lower reward are left alone.

    Args:
        adapter: The model.
        dictionaries: One or more, each at a site of its own.
        training: What the model is asked, and what is a good answer.
        variant: `S`, `A` or `P`.
        validation: Other prompts, for `P`.
        test: Other prompts yet, and unrelated ones; each is run unsteered, steered, with random directions and with
            random features of the same norms.
        multiple: Of the coefficients.
        pool: How activations are pooled over the tokens of an output: `max`, or `mean` for long reasoning.
        read: The tokens of an output that are pooled; leave out the first and last 3 steps of a clip, whose codebooks
            are not all there: `generated & 3..197steps`.
        positions: The tokens that are steered.
        seed: Seed of the controls.

    Raises:
        DictionaryError: The variant does not fit, rewards are all alike, or no feature goes with them.

    Source: Cho, Wu and Koshiyama 2025, arXiv:2508.12535.
    """
    if variant not in VARIANTS or (variant == "P") != (validation is not None):
        raise DictionaryError(
            f"variant {variant!r} {'with' if validation else 'without'} validation prompts; choose S or A without, "
            "or P with them"
        )
    outcomes = training.run(adapter)
    samples, rewards = outcomes.scored()
    pools = pooled_layers(adapter, dictionaries, samples, positions=read, pool=pool, batch=training.batch)
    found = [_candidate(adapter, *pair, rewards, seed) for pair in zip(dictionaries, pools, strict=True)]
    candidates = tuple(one for one in found if one is not None)
    if not candidates:
        raise DictionaryError(
            f"{training.name}: no feature's activation goes with the reward of {len(samples)} outputs; give more, or "
            "prompts of which the model gets some right and some wrong"
        )
    chosen = (max(candidates, key=lambda one: one.correlation),) if variant == "S" else candidates
    directions, twins = [one.direction for one in chosen], [one.control for one in chosen]
    beside = controls(directions, twins, positions, multiple, seed) if test else {}
    kept = chosen
    if validation is not None:
        changes = _changes(adapter, validation, {"steered": added(directions, positions, multiple)} | beside)
        pairs = zip(candidates, changes["steered"], strict=True)
        candidates = tuple(replace(one, change=change) for one, change in pairs)
        kept = tuple(one for one in candidates if _helps(one.change))
        beside = {name: _helpful(some, changes[name]) for name, some in beside.items()}
    result = CorrSteer(variant, candidates, kept, mean_score(outcomes.rewards), multiple, positions)
    if not (test and kept):
        return result
    return replace(result, comparison=compare(adapter, test, {"steered": result.steering()} | beside))


def _candidate(
    adapter: Adapter, dictionary: SparseDictionary, found: Pooled, rewards: torch.Tensor, seed: int
) -> Candidate | None:
    """The feature with the largest correlation, if that is above zero."""
    site = dictionary.located(adapter)
    correlations = SELECTORS["pearson"](found.z, rewards)
    best = int(correlations.argmax())
    if not correlations[best] > 0:
        return None
    coefficients = COEFFICIENTS["positive_mean"](found.z, rewards, [best])
    direction = combined_direction(dictionary, [best], coefficients, found.used, f"corrsteer:{site}-{best}")
    control = twin(dictionary, direction, [best], found.used, seed)
    return Candidate(site, best, float(correlations[best]), float(coefficients[0]), direction, control)


def _changes(adapter: Adapter, validation: Trials, steerings: Mapping[str, Steering]) -> dict[str, list[float | None]]:
    """What each attribute of some steerings, alone, does to the mean reward."""
    alone = {
        f"{name} {place}": Steering((one,))
        for name, some in steerings.items()
        for place, one in enumerate(some.attributes)
    }
    rows = iter(compare(adapter, [validation], alone).rows[1:])
    told = (row.change.value if row.change else None for row in rows)
    return {name: [next(told) for _ in some.attributes] for name, some in steerings.items()}


def _helps(change: float | None) -> bool:
    return change is not None and change > 0


def _helpful(steering: Steering, changes: Sequence[float | None]) -> Steering:
    """The attributes that help; none of them is the unsteered model."""
    pairs = zip(steering.attributes, changes, strict=True)
    return Steering(tuple(one for one, change in pairs if _helps(change)))
