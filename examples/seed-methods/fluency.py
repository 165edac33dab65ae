"""Answers that count only where they are fluent: as likely as what the model says when it is asked for, and no loop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from shared import Result, Study, best_of, means

from mmsteer.eval.text import distinct
from mmsteer.eval.text.instruction import relaxed
from mmsteer.latents.trials import UNSTEERED, Outcomes, Trials
from mmsteer.likelihood import output_likelihood
from mmsteer.steering import Steering
from mmsteer.types import Sample

GOALS = ("follows", "follows fluently")
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

    def holds(self, samples: Sequence[Sample], nats: Sequence[float] | None = None) -> list[bool]:
        """Which answers are fluent; `nats`: of each a token, where they are known."""
        pairs = zip(samples, self.nats(samples) if nats is None else nats, strict=True)
        return [some <= self.limit and (distinct(str(one.output)) or 0.0) >= DISTINCT for one, some in pairs]


def fluency_of(study: Study, trials: Trials, said: Callable[[Sample], Sample]) -> Fluency:
    """The bound from the model's own answers to the prompts of some trials, with the instruction said.

    `said`: from a prompt to the one in which the instruction is said.
    """
    wanted = replace(trials, prompts=tuple(said(one) for one in trials.prompts)).run(study.adapter).samples
    nats = _nats(study, wanted)
    return Fluency(study, said, sum(nats) / len(nats) + MARGIN)


def rated(fluency: Fluency, trials: Trials, outcomes: Outcomes) -> dict[str, list[float]]:
    """Of each answer whether it follows, follows and is fluent, follows loosely, and its nats a token.

    Loosely: in one of the forms that IFEval tries, without the first line, the last, or asterisks.
    """
    follows = [float((one or 0.0) > 0) for one in outcomes.rewards]
    nats = fluency.nats(outcomes.samples)
    held = fluency.holds(outcomes.samples, nats)
    return {
        "follows": follows,
        "follows fluently": [a * b for a, b in zip(follows, held, strict=True)],
        "follows loosely": [_loosely(trials, one) for one in outcomes.samples],
        "nats a token": nats,
    }


def _loosely(trials: Trials, sample: Sample) -> float:
    forms = [replace(sample, output=form) for form in relaxed(str(sample.output)) if form.strip()]
    return float(any((trials.reward(one) or 0.0) > 0 for one in forms))


def chosen_twice(
    fluency: Fluency, families: Mapping[str, Sequence[Steering]], trials: Mapping[str, Trials], first: str
) -> Result:
    """The best of each family by either goal, and how both goals fare with it on other prompts.

    `families`: steerings to choose from on the prompts `validation`, and to judge on the prompts `test`.
    `first`: the family that the others are controls of.
    """
    adapter, test = fluency.study.adapter, trials["test"]
    tried = trials["validation"].run_each(adapter, [one for some in families.values() for one in some])
    judged = [rated(fluency, trials["validation"], one) for one in tried]

    @cache
    def tested(name: str, at: int) -> tuple[Outcomes, dict[str, list[float]]]:
        made = test.run(adapter, families[name][at] if name in families else UNSTEERED)
        return made, rated(fluency, test, made)

    found: Result = {}
    for goal in GOALS:
        values = iter([sum(one[goal]) / len(one[goal]) for one in judged])
        scores = {name: [next(values) for _ in some] for name, some in families.items()}
        best = best_of(scores)
        told = {name: tested(name, at)[1] for name, at in {"unsteered": 0, **best}.items()}
        found[f"chosen by {goal}"] = {
            "chosen": {name: [at, round(scores[name][at], 3)] for name, at in best.items()},
            **{rate: means({name: some[rate] for name, some in told.items()}, first) for rate in told["unsteered"]},
            "answers": [str(one.output) for one in tested(first, best[first])[0].samples[:6]],
        }
    return found


def _nats(study: Study, samples: Sequence[Sample]) -> list[float]:
    found: list[float] = []
    for at in range(0, len(samples), BATCH):
        some = [one if str(one.output).strip() else replace(one, output=".") for one in samples[at : at + BATCH]]
        read = output_likelihood(study.adapter, some)
        found += (-read[:, 0] / read[:, 1].clamp(min=1)).tolist()
    return found
