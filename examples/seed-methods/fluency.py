"""Answers that count only where they are fluent: as likely as what the model says when it is asked for, and no loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from shared import Study

from mmsteer.eval.text import distinct
from mmsteer.latents.trials import Outcomes, Trials
from mmsteer.likelihood import output_likelihood
from mmsteer.types import Sample

MARGIN, DISTINCT, BATCH = 1.0, 0.8, 32
"""Nats a token above the mean of wanted answers, and the least share of different pairs of words."""


@dataclass(frozen=True, eq=False)
class Fluency:
    """Whether answers could be those of the unsteered model that was told what is wanted of it.

    Attributes:
        study: The model that judges, unsteered.
        said: From a prompt to the one in which the instruction is said, under which answers are judged.
        limit: Most nats a token.
    """

    study: Study
    said: Callable[[Sample], Sample]
    limit: float

    def nats(self, samples: Sequence[Sample]) -> list[float]:
        """Nats a token of answers under the model that was told."""
        return _nats(self.study, [self.said(one) for one in samples])

    def holds(self, samples: Sequence[Sample]) -> list[bool]:
        """Which answers are fluent."""
        pairs = zip(samples, self.nats(samples), strict=True)
        return [nats <= self.limit and (distinct(str(one.output)) or 0.0) >= DISTINCT for one, nats in pairs]


def fluency_of(study: Study, trials: Trials, said: Callable[[Sample], Sample]) -> Fluency:
    """The bound from the model's own answers to the prompts of some trials, with the instruction said.

    `said`: from a prompt to the one in which the instruction is said.
    """
    wanted = replace(trials, prompts=tuple(said(one) for one in trials.prompts)).run(study.adapter).samples
    nats = _nats(study, wanted)
    return Fluency(study, said, sum(nats) / len(nats) + MARGIN)


def both(fluency: Fluency, outcomes: Outcomes) -> dict[str, list[float]]:
    """Of each answer whether it follows, and whether it follows and is fluent."""
    follows = [float((one or 0.0) > 0) for one in outcomes.rewards]
    held = fluency.holds(outcomes.samples)
    return {"follows": follows, "follows fluently": [a * b for a, b in zip(follows, held, strict=True)]}


def _nats(study: Study, samples: Sequence[Sample]) -> list[float]:
    found: list[float] = []
    for at in range(0, len(samples), BATCH):
        some = [one if str(one.output).strip() else replace(one, output=".") for one in samples[at : at + BATCH]]
        read = output_likelihood(study.adapter, some)
        found += (-read[:, 0] / read[:, 1].clamp(min=1)).tolist()
    return found
