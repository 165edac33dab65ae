"""Prompts, what a model makes of them, and how that is judged: what methods that learn from outputs are given."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.steering import Steering, steer
from mmsteer.types import Adapter, Sample, Sampling

Generate = Callable[[Sequence[Sample]], Sequence[Sample]]
"""What the model makes of some prompts: the same samples, with the clip or the answer in them."""
Reward = Callable[[Sample], float | None]
"""How good an output is: above zero for a right one, 0 or below for a wrong one, None where it cannot be judged."""

UNSTEERED = Steering()


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What was made and how it was judged.

    `rewards`: one a sample; None where it could not be judged.
    """

    samples: tuple[Sample, ...]
    rewards: tuple[float | None, ...]

    def scored(self) -> tuple[tuple[Sample, ...], Tensor]:
        """The samples that could be judged, and their rewards, (n,) float64."""
        pairs = [
            (sample, reward) for sample, reward in zip(self.samples, self.rewards, strict=True) if reward is not None
        ]
        return tuple(sample for sample, _ in pairs), torch.tensor([reward for _, reward in pairs], dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Trials:
    """Prompts, how they are answered, and how answers are judged.

    `generate`: runs the model on some of them; called inside the steering.
    """

    name: str
    prompts: tuple[Sample, ...]
    generate: Generate
    reward: Reward
    batch: int = 8

    def run(self, adapter: Adapter, steering: Steering = UNSTEERED) -> Outcomes:
        """Generate and judge everything under one steering.

        `steering`: what is applied; nothing where it is left out.
        """
        starts = range(0, len(self.prompts), self.batch)
        with steer(adapter, steering):
            made = [one for start in starts for one in self.generate(self.prompts[start : start + self.batch])]
        return self._judged(made)

    def run_each(self, adapter: Adapter, steerings: Sequence[Steering]) -> list[Outcomes]:
        """Generate and judge everything under each of several steerings, which share batches."""
        pairs = [(steering, prompt) for steering in steerings for prompt in self.prompts]
        made: list[Sample] = []
        for start in range(0, len(pairs), self.batch):
            some = pairs[start : start + self.batch]
            with steer(adapter, [steering for steering, _ in some]):
                made += self.generate([prompt for _, prompt in some])
        each = len(self.prompts)
        return [self._judged(made[at * each : (at + 1) * each]) for at in range(len(steerings))]

    def _judged(self, made: Sequence[Sample]) -> Outcomes:
        return Outcomes(tuple(made), tuple(self.reward(one) for one in made))


def sampled(adapter: Adapter, sampling: Sampling, *, seed: int = 0) -> Generate:
    """Outputs of prompts; the same sample draws the same noise under every steering."""

    def generate(prompts: Sequence[Sample]) -> list[Sample]:
        return adapter.generate(prompts, sampling, [zlib.crc32(f"{seed}:{one.id}".encode()) for one in prompts])

    return generate
