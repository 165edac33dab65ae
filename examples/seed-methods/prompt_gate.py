"""A classifier of the prompt, by whose word a row is steered or left alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from shared import SEED, Study
from torch import Tensor

from mmsteer.latents.detection import BASELINES, Detector
from mmsteer.latents.token_states import layer_states
from mmsteer.latents.trials import UNSTEERED, Trials
from mmsteer.steering import Steering, steer
from mmsteer.types import Positions, Sample, Site

LAST = Positions("last")
"""The token that has read the whole prompt, and nothing of an output."""


@dataclass(frozen=True, eq=False)
class PromptGate:
    """Which prompts are steered: a probe of their last token's state at one site, without any steering."""

    study: Study
    site: Site
    probe: Detector

    def opens(self, prompts: Sequence[Sample]) -> list[bool]:
        """For which prompts; outputs that samples have are not read."""
        scores = self.probe.score(_states(self.study, self.site, prompts))
        return (scores > self.probe.threshold).tolist()

    def rewards(self, trials: Trials, steering: Steering) -> list[float | None]:
        """What answers are worth where each prompt is steered or not, as the gate says; all share batches."""
        pairs = list(zip(trials.prompts, self.opens(trials.prompts), strict=True))
        made: list[Sample] = []
        for at in range(0, len(pairs), trials.batch):
            some = pairs[at : at + trials.batch]
            with steer(self.study.adapter, [steering if opened else UNSTEERED for _, opened in some]):
                made += trials.generate([prompt for prompt, _ in some])
        return [trials.reward(one) for one in made]


def learned_gate(study: Study, site: Site, wanted: Sequence[Sample], others: Sequence[Sample]) -> PromptGate:
    """A logistic probe of prompts that are to be steered and others."""
    x = _states(study, site, [*wanted, *others])
    y = torch.arange(len(x)) < len(wanted)
    return PromptGate(study, site, BASELINES["logistic probe"](x, y, SEED))


@torch.no_grad()
def _states(study: Study, site: Site, prompts: Sequence[Sample]) -> Tensor:
    read = layer_states(study.adapter, prompts, [site], batch=16)
    return torch.cat([one.states[one.chosen(LAST)] for [one] in read]).float()
