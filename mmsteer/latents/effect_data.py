"""What effects of many vectors are measured on: rows to learn from and to test on, and what is read of outputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmsteer.adapters import AnyAdapter
from mmsteer.latents.effect_meters import effect_meter
from mmsteer.latents.effect_rollouts import EffectMeter, Rollouts
from mmsteer.latents.rows import prompted
from mmsteer.latents.trials import Generate, sampled
from mmsteer.sae import SparseDictionary
from mmsteer.steering import Steering
from mmsteer.tasks import Row
from mmsteer.types import Sample, Sampling, Score, paired_score

GROUND = 24
"""Prompts at most whose unsteered outputs are the ground of vectors."""
DOSED = 4
"""Of these, how many doses are measured along: the divergence along one alone may have no strength in between."""


@dataclass(frozen=True, eq=False)
class EffectData:
    """Prompts, how they are answered and what is read of the answers.

    `ground`: unsteered outputs, whose states are the ground of vectors; doses are measured along the first few.
    """

    adapter: AnyAdapter
    meter: EffectMeter
    ground: tuple[Sample, ...]
    learned: tuple[Sample, ...]
    test: tuple[Sample, ...]
    generate: Generate
    settings: str

    def rollouts(self, items: Sequence[Sample]) -> Rollouts:
        """What is generated from some prompts."""
        return Rollouts(
            self.adapter, items, lambda some: [one.output for one in self.generate(some)], self.meter, self.settings
        )

    def changes(self, items: Sequence[Sample], target: str) -> Callable[[Steering], Score]:
        """From a steering to the mean change of a target, beside the unsteered outputs of the same prompts."""
        rollouts, column = self.rollouts(items), self.meter.names.index(target)

        def read(steering: Steering) -> list[float | None]:
            return [None if one != one else one for one in rollouts.read([steering])[0, :, column].tolist()]

        plain = read(Steering())
        return lambda steering: paired_score(read(steering), plain)


def effect_data(
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    target: str,
    rows: tuple[Sequence[Row], Sequence[Row]],
    sampling: Sampling,
) -> EffectData:
    """Rows as what effects are measured on.

    `target`: what is wanted, such as `note:C`, `object:cup` or `sae:12`; it decides what is read.
    `rows`: rows to learn from, and rows to test on.
    """
    meter = effect_meter(adapter, dictionary, target)
    generate = sampled(adapter, sampling)
    learned, test = (tuple(row.sample(adapter) for row in prompted(some)) for some in rows)
    ground = tuple(generate(learned[:GROUND]))
    return EffectData(adapter, meter, ground, learned, test, generate, repr(sampling))
