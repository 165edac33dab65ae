"""Vectors trained by reward: outputs are drawn from the steered model, and what was better than its siblings grows."""

import math
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor

from mmsteer.errors import ProbeError, clip
from mmsteer.eval.rewards import OutputReward, rate_outputs
from mmsteer.eval.text import NamedReward, Reference
from mmsteer.likelihood import OutputTokens
from mmsteer.ranks import Ranks
from mmsteer.steering import steer
from mmsteer.tuning.supervised import drawn
from mmsteer.tuning.vectors import AdditiveVectors
from mmsteer.types import Sample, Sampling

Baseline = Literal["rloo", "grpo"]
GAIN = 0.1
"""In reward a nat a token: by how much the weight of the divergence grows after a step at twice the budget or more."""
DAMPING = 0.6
"""By how much it grows when the divergence has grown by the budget within a step: without, it is late, and swings."""


@dataclass(frozen=True)
class Reinforced:
    """Policy gradient on the model's own outputs, with the other outputs of the same prompt as baseline.

    The loss is minus the sum of advantage times log-probability over the tokens of a step, divided by their number:
    on-policy, without ratio or clipping; and `kl` times an estimate of the divergence from the unsteered model. An
    output that the reward has no number for, such as a blank one, is left out of every mean and counted as `unscored`.

    With a `budget` in the place of `kl` the weight begins at 0 and follows the share by which the divergence is beyond
    the budget (-1 to 1): after each step it changes by `GAIN` times that share and by `DAMPING` times the change of the
    share, down to 0.

    Attributes:
        prompts: What is asked.
        references: What is true of each prompt, for the reward.
        reward: What is wanted.
        sampling: How outputs are drawn; the gradient is that of temperature 1 without top-k and top-p.
        baseline: `rloo`, the mean of the other outputs of the prompt; `grpo`, the mean of all over their deviation.
        asked: Prompts a step.
        group: Outputs of each.
        kl: Weight of the divergence, in reward a nat a token.
        budget: The divergence that is kept to, nats a token, in the place of `kl`.
        batch: Outputs that are drawn, or read, together.
        seed: Of the order of prompts and of what is drawn.

    Source: Sinii et al. 2025, arXiv:2509.06608 (the loss); RLOO: Ahmadian et al. 2024, arXiv:2402.14740; GRPO: Shao et
    al. 2024, arXiv:2402.03300; the estimate: http://joschu.net/blog/kl-approx.html ("k3"); the weight under a budget is
    the multiplier of a constraint, by the integral and proportional terms of Stooke et al. 2020, arXiv:2007.03964.
    """

    prompts: Sequence[Sample]
    references: Sequence[Reference]
    reward: OutputReward
    sampling: Sampling
    baseline: Baseline = "rloo"
    asked: int = 8
    group: int = 8
    kl: float = 0.0
    batch: int = 16
    seed: int = 0
    budget: float | None = None

    def __post_init__(self) -> None:
        if not self.prompts:
            raise ProbeError("there is no prompt to draw outputs of; give rows")
        if self.group < 2:
            raise ProbeError(f"{self.group} outputs of a prompt have none to be compared with; draw 2 or more")
        if self.budget is not None and (self.kl or not 0 < self.budget < math.inf):
            raise ProbeError(f"a budget of {self.budget} nats and kl={self.kl}: give a budget above 0, or a weight")

    def accumulate(
        self, vectors: AdditiveVectors, step: int, share: float, past: Sequence[Mapping[str, float]]
    ) -> Mapping[str, float]:
        """See `Objective.accumulate`.

        Args:
            vectors: What is trained.
            step: Which step.
            share: Of all steps that are done.
            past: Numbers of the steps before.
        """
        ranks, weight = Ranks(), self._weight(past)
        outputs, rewards = self._drawn(vectors, step, ranks)
        scored = advantages(rewards.reshape(-1, self.group), self.baseline).flatten()
        said = [at for at, one in enumerate(outputs) if has_output(one)]
        mine = [self._read(vectors, [outputs[at] for at in part], scored[part], weight) for part in self._parts(said)]
        gathered = ranks.all_gather((mine, rewards))
        read, rewards = [one for some, _ in gathered for one in some], torch.cat([some for _, some in gathered])
        if step == 0 and ranks.first:
            self._warn_if_alike(rewards)
        tokens = sum(one["tokens"] for one in read)
        for part in vectors.parameters():
            if part.grad is not None:
                part.grad /= max(tokens, 1.0)
        whole = {name: sum(one[name] for one in read) / max(tokens, 1.0) for name in ("entropy", "kl")}
        rated = rewards[~rewards.isnan()]
        return {
            "reward": float(rated.mean()) if len(rated) else 0.0,
            "spread": float(rated.std()) if len(rated) > 1 else 0.0,
            "unscored": float(len(rewards) - len(rated)),
            **whole,
            "tokens": tokens / len(rewards),
            **({} if self.budget is None else {"weight": weight}),
        }

    def _weight(self, past: Sequence[Mapping[str, float]]) -> float:
        """What a nat of divergence costs at a step, by the numbers of the steps before."""
        if self.budget is None or not past:
            return self.kl
        weight = past[-1]["weight"]
        if not past[-1]["tokens"]:
            return weight  # nothing was measured
        last = islice((one["kl"] for one in reversed(past) if one["tokens"]), 2)
        beyond, before = [*(min(1.0, kl / self.budget - 1) for kl in last), -1.0][:2]
        return max(0.0, weight + GAIN * beyond + DAMPING * (beyond - before))

    def _parts(self, places: Sequence[int]) -> list[list[int]]:
        return [list(places[at : at + self.batch]) for at in range(0, len(places), self.batch)]

    def _drawn(self, vectors: AdditiveVectors, step: int, ranks: Ranks) -> tuple[list[Sample], Tensor]:
        """Outputs of this process's prompts, those of a prompt one after another, with their rewards; NaN for none."""
        adapter, step_places = vectors.where.adapter, drawn(len(self.prompts), self.asked, step, self.seed)
        rng = random.Random(f"{self.seed}:outputs:{step}")
        all_seeds = [[rng.getrandbits(31) for _ in range(self.group)] for _ in step_places]
        mine = [(at, of) for at in ranks.shard(list(range(len(step_places))), "prompts") for of in range(self.group)]
        places = [step_places[at] for at, _ in mine]
        asked = [replace(self.prompts[step_places[at]], id=f"{step}:{at * self.group + of}") for at, of in mine]
        seeds = [all_seeds[at][of] for at, of in mine]
        made: list[Sample] = []
        with steer(adapter, vectors.steering()):
            for part in self._parts(range(len(asked))):
                made += adapter.generate([asked[at] for at in part], self.sampling, [seeds[at] for at in part])
        outputs: list[Any] = [one.output for one in made]
        rated = rate_outputs(self.reward, outputs, [self.references[at] for at in places], adapter.sample_rate)
        self._check_rated(made, rated, places)
        return made, torch.tensor([float("nan") if one is None else one for one in rated])

    def _check_rated(self, made: Sequence[Sample], rated: Sequence[float | None], places: Sequence[int]) -> None:
        """Refuse a row whose outputs have no reward, although there are outputs, and whose answer would have none.

        Raises:
            ProbeError: There is such a row.
        """
        for at in range(0, len(made), self.group):
            mine = slice(at, at + self.group)
            if all(one is None for one in rated[mine]) and any(map(has_output, made[mine])):
                if self._rates_its_answer(places[at]):
                    continue  # that a few outputs name no option is chance
                row = self.prompts[places[at]]
                raise ProbeError(
                    f"row {row.id!r} ({clip(row.text)}): {self.reward.name} has no value for any of its outputs; give "
                    "the row what the reward asks for, such as `answer` or `options`, or leave it out"
                )

    def _warn_if_alike(self, rewards: Tensor) -> None:
        """Warn where no output is better than its siblings, so that there is nothing to learn from."""
        if not advantages(rewards.reshape(-1, self.group), self.baseline).any():
            warnings.warn(
                f"{self.reward.name}: the outputs of each prompt of the first step all earned the same, from which "
                "nothing is learned; if that stays so, take another reward, other prompts or a higher temperature",
                UserWarning,
                stacklevel=2,
            )

    def _rates_its_answer(self, place: int) -> bool:
        reference = self.references[place]
        if reference.answer is None or not isinstance(self.reward, NamedReward):
            return False
        return self.reward([reference.answer], [reference]) != [None]

    def _read(
        self, vectors: AdditiveVectors, outputs: Sequence[Sample], scored: Tensor, weight: float
    ) -> dict[str, float]:
        """Add the gradient of some outputs, summed over their tokens."""
        read = vectors.outputs(outputs)
        loss = -(read.sums * scored.to(read.log_probs)).sum()
        measured = self.kl or self.budget is not None
        divergence = self._divergence(vectors, outputs, read) if measured else loss.new_zeros(())
        (loss + weight * divergence).backward()
        return {
            "tokens": float(read.sizes.sum()),
            "entropy": -float(read.sums.detach().sum()),
            "kl": float(divergence.detach()),
        }

    def _divergence(self, vectors: AdditiveVectors, outputs: Sequence[Sample], read: OutputTokens) -> Tensor:
        """The estimate r - 1 - log r for the ratio r of unsteered to steered probability, summed over tokens."""
        ratio = vectors.outputs(outputs, gradient=False, sign=0.0).log_probs - read.log_probs
        return ((ratio.exp() - 1 - ratio) * read.counts).sum()


def advantages(rewards: Tensor, baseline: Baseline) -> Tensor:
    """By how much each output is better than its siblings.

    Args:
        rewards: (prompts, outputs of each); NaN for an output without one, which has no part in any mean and no
            advantage.
        baseline: `rloo` or `grpo`.

    >>> advantages(torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, torch.nan, torch.nan]]), "rloo")
    tensor([[ 1.0000, -0.3333, -0.3333, -0.3333],
            [ 1.0000, -1.0000,  0.0000,  0.0000]])
    """
    rated = ~rewards.isnan()
    count = rated.sum(dim=1, keepdim=True)
    mean = rewards.nan_to_num(0.0).sum(dim=1, keepdim=True) / count.clamp(min=1)
    centred = torch.where(rated, rewards - mean, 0.0)
    others = (count - 1).clamp(min=1)
    if baseline == "rloo":
        return centred * count / others
    spread = (centred.square().sum(dim=1, keepdim=True) / others).sqrt()
    return centred / torch.where(spread > 0, spread, 1.0)


def has_output(sample: Sample) -> bool:
    """Whether there is anything to read.

    Args:
        sample: With its output.
    """
    return bool(sample.output.strip()) if isinstance(sample.output, str) else sample.output is not None
