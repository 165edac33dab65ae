"""Feature clamping: a feature found in one archetype, chosen by what clamping it does, and the damage that it does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmsteer.errors import DictionaryError
from mmsteer.latents.controls import random_features
from mmsteer.latents.equal_search import EqualSearch, search_equally
from mmsteer.latents.pooling import pooled
from mmsteer.latents.side_effects import Comparison
from mmsteer.latents.trials import Trials
from mmsteer.sae import SparseDictionary, Usage, feature_direction
from mmsteer.steering import Attribute, Gate, Steering
from mmsteer.types import Adapter, Direction, Positions, Sample

ALL, GENERATED = Positions("all"), Positions("generated")


@dataclass(frozen=True, eq=False)
class Clamped:
    """One feature held at one value."""

    feature: int
    value: float
    direction: Direction
    length: float

    def steering(self, positions: Positions = ALL, gate: Gate | None = None) -> Steering:
        """The clamp, which keeps what the dictionary misses.

        `positions`: which tokens; the paper clamps all of them.
        `gate`: which of them, by what is read in them.
        """
        strength = self.value * self.length
        attribute = Attribute(
            self.direction, strength, operator="clamp", positions=positions, unit="absolute", gate=gate
        )
        return Steering((attribute,))


@dataclass(frozen=True, eq=False)
class ClampReport:
    """What a sweep over candidates and values found, and what it costs.

    Attributes:
        candidates: Features that are active in the archetype's answer, the most active first.
        sweep: Each candidate, and each of as many random features, at its first value, on the trials to choose by.
        grid: The best of each at every value, on the same trials.
        chosen: The feature and the value.
        control: The best of the random features, at its best value.
        damage: The test and the unrelated trials: unsteered, clamped, and with the control clamped.
        positions: Which tokens were clamped.
    """

    candidates: tuple[int, ...]
    sweep: EqualSearch
    grid: EqualSearch
    chosen: Clamped
    control: Clamped
    damage: Comparison
    positions: Positions

    def steering(self) -> Steering:
        """The chosen clamp."""
        return self.chosen.steering(self.positions)


def archetype_features(
    adapter: Adapter,
    dictionary: SparseDictionary,
    archetype: Sample,
    *,
    tokens: int = 2,
    positions: Positions = GENERATED,
) -> list[int]:
    """Features that are active at several tokens of an answer, the most often active first.

    `archetype`: a prompt with the answer, or a text with the clip, that shows what is wanted.
    `tokens`: tokens at which a feature must be active.

    Raises:
        DictionaryError: No feature is.

    Source: O'Brien et al. 2024, arXiv:2411.11296.
    """
    [active] = pooled(adapter, dictionary, [archetype], positions=positions, pool="count").z
    order = active.argsort(descending=True, stable=True)
    found: list[int] = order[active[order] >= tokens].tolist()
    if not found:
        raise DictionaryError(
            f"no feature is active at {tokens} tokens of {archetype.id!r}, at most at {int(active.max())}; give a "
            "longer archetype, or ask for fewer tokens"
        )
    return found


def clamp_sweep(
    adapter: Adapter,
    dictionary: SparseDictionary,
    used: Usage,
    archetype: Sample,
    trials: Trials,
    test: Trials,
    unrelated: Sequence[Trials],
    *,
    multiples: Sequence[float] = (1.0, 0.5, 2.0),
    candidates: int = 20,
    tokens: int = 2,
    positions: Positions = ALL,
    seed: int = 0,
) -> ClampReport:
    """Find the feature whose clamp raises a reward the most, its best value, and the damage.

    Every candidate is clamped at the first multiple of its own largest activation; the best one is then tried at the
    others. As many random features are searched in the same way, and the best of them is the control. What is reported
    as an effect is measured on other prompts than it was chosen by.

    Args:
        adapter: The model.
        dictionary: With thresholds.
        used: What `usage` counted, at tokens like those that are clamped.
        archetype: One sample that shows what is wanted, with its answer or clip.
        trials: Prompts to choose by.
        test: Other prompts of the same kind.
        unrelated: Prompts that have nothing to do with it: what they lose is the damage.
        multiples: Values to try, in largest activations.
        candidates: Most features to try, the most often active in the archetype first.
        tokens: Tokens of the archetype's answer at which a feature must be active.
        positions: The tokens that are clamped.
        seed: Seed of the control.

    Raises:
        DictionaryError: There is no value or no feature to try, or there are not as many other features.

    Source: O'Brien et al. 2024, arXiv:2411.11296 (values 10 and 12; here multiples, because units differ).
    """
    found = archetype_features(adapter, dictionary, archetype, tokens=tokens)
    names = [one for one in found if used.maximum[one] > 0][:candidates]
    if not (names and multiples):
        raise DictionaryError(
            f"{len(names)} features and {len(multiples)} multiples make no sweep; give a multiple or more, and a usage "
            f"in which some of the archetype's {len(found)} features are active"
        )
    families = {"clamped": names, "random feature": random_features(used, len(names), without=names, seed=seed)}
    first = {name: [clamped(dictionary, used, one, multiples[0]) for one in some] for name, some in families.items()}
    sweep = _searched(adapter, first, trials, [], positions)
    values = {
        name: [clamped(dictionary, used, some[sweep.chosen[name]], multiple) for multiple in dict.fromkeys(multiples)]
        for name, some in families.items()
    }
    grid = _searched(adapter, values, trials, [test, *unrelated], positions)
    chosen, control = (some[grid.chosen[name]] for name, some in values.items())
    return ClampReport(tuple(names), sweep, grid, chosen, control, grid.test, positions)


def clamped(dictionary: SparseDictionary, used: Usage, feature: int, multiple: float) -> Clamped:
    """A feature held at a multiple of its largest activation.

    `used`: what `usage` counted.
    `multiple`: of the largest activation; 0 removes the feature.
    """
    value = multiple * float(used.maximum[feature])
    return Clamped(
        feature, value, feature_direction(dictionary, feature, used), float(dictionary.decoder[feature].norm())
    )


def _searched(
    adapter: Adapter,
    families: Mapping[str, Sequence[Clamped]],
    trials: Trials,
    test: Sequence[Trials],
    positions: Positions,
) -> EqualSearch:
    steerings = {name: [one.steering(positions) for one in some] for name, some in families.items()}
    return search_equally(adapter, steerings, trials, test)
