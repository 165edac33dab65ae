"""Whether a trained vector does in a sibling of its model, such as a fine-tuned one, what it does in its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmsteer.eval.rewards import OutputReward, rate_outputs
from mmsteer.eval.text import Reference
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Adapter, Sample, Sampling, Score, mean_score

BATCH = 16


@dataclass(frozen=True)
class Transfer:
    """Mean rewards of the most likely outputs, in the model of the vector and in its sibling.

    Attributes:
        own: Without and with the vector, in its model.
        sibling: The same in the sibling.
    """

    own: tuple[Score, Score]
    sibling: tuple[Score, Score]


def transfer(
    models: tuple[Adapter, Adapter],
    trained: Attribute,
    prompts: Sequence[Sample],
    references: Sequence[Reference],
    reward: OutputReward,
    sampling: Sampling,
) -> Transfer:
    """Reward with and without a vector, in two models of one architecture.

    Args:
        models: The model in which the vector was trained, and its sibling.
        trained: The direction as it is applied.
        prompts: What is asked.
        references: What is true of each prompt.
        reward: What is wanted.
        sampling: How outputs are drawn; greedily where the temperature is 0.

    Raises:
        DirectionError: The sibling's weights have other names or shapes.

    Source: Sinii et al. 2025, arXiv:2509.06608 (vectors moved to other models of one family).
    """
    item = trained.accepting("architecture")
    found = [
        tuple(
            _rewarded(model, steering, prompts, references, reward, sampling)
            for steering in (Steering(), Steering((item,)))
        )
        for model in models
    ]
    (before, after), (other_before, other_after) = found
    return Transfer((before, after), (other_before, other_after))


def _rewarded(
    model: Adapter,
    steering: Steering,
    prompts: Sequence[Sample],
    references: Sequence[Reference],
    reward: OutputReward,
    sampling: Sampling,
) -> Score:
    outputs: list[Any] = []
    with steer(model, steering):
        for at in range(0, len(prompts), BATCH):
            part = prompts[at : at + BATCH]
            outputs += [one.output for one in model.generate(part, sampling, range(at, at + len(part)))]
    rated = rate_outputs(reward, outputs, references, model.sample_rate)
    return mean_score(rated)
