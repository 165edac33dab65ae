"""Vectors trained on outputs that are given: likely ones, or better beside worse."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from mmsteer.errors import ProbeError
from mmsteer.ranks import Ranks
from mmsteer.tuning.vectors import AdditiveVectors, GatedVectors
from mmsteer.types import Sample


@dataclass(frozen=True)
class Likelihood:
    """The negative log-likelihood of outputs, mean over their tokens.

    With `GatedVectors` the charge is added, with a weight that grows linearly over the steps to `charge`.

    Attributes:
        samples: Prompts with wanted outputs.
        batch: How many a step; each epoch has another order.
        seed: Of the orders.
        charge: Weight of what a gated vector finds beyond its k tokens.

    Source: "SSV" and "ReFT-r1" of Wu et al. 2025, arXiv:2501.17148.
    """

    samples: Sequence[Sample]
    batch: int = 6
    seed: int = 0
    charge: float = 0.005

    def __post_init__(self) -> None:
        if not self.samples:
            raise ProbeError("there is no output to learn from; give rows with answers")

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
        ranks, places = Ranks(), drawn(len(self.samples), self.batch, step, self.seed)
        mine = ranks.shard(places, "outputs")
        read = vectors.outputs([self.samples[at] for at in mine])
        surprise = -read.sums.sum()
        charge = vectors.charge * len(mine) / len(places) if isinstance(vectors, GatedVectors) else torch.zeros(())
        nats, tokens, charged = ranks.all_sum(surprise, read.sizes.sum(), charge)
        # A model may be on several cards: what is found is on the last site's, what is read on the head's.
        (surprise / max(tokens, 1.0) + share * self.charge * charge.to(surprise.device)).backward()
        return {"loss": nats / max(tokens, 1.0), **({"charge": charged} if isinstance(vectors, GatedVectors) else {})}


@dataclass(frozen=True)
class Preference:
    """Better outputs beside worse ones of the same prompts, with the vector's sign drawn anew at each step.

    The loss is -log sigmoid(s beta (log p_sv(better) / p(better) - log p_sv(worse) / p(worse))) for a vector v with the
    sign s: added it prefers the better ones, subtracted the worse ones.

    Attributes:
        better: Prompts with wanted outputs.
        worse: The same prompts with unwanted ones.
        batch: Pairs a step.
        seed: Of the orders and signs.
        beta: How sharply a preference counts.

    Source: BiPO, Cao et al. 2024, arXiv:2406.00045.
    """

    better: Sequence[Sample]
    worse: Sequence[Sample]
    batch: int = 4
    seed: int = 0
    beta: float = 0.1
    _known: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.better or len(self.better) != len(self.worse):
            raise ProbeError(
                f"{len(self.better)} better and {len(self.worse)} worse outputs; give each prompt one of each"
            )

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
        ranks, places = Ranks(), drawn(len(self.better), self.batch, step, self.seed)
        mine = ranks.shard(places, "pairs")
        sign = random.Random(f"{self.seed}:sign:{step}").choice((-1.0, 1.0))
        steered = [vectors.outputs([some[at] for at in mine], sign=sign).sums for some in (self.better, self.worse)]
        gains = torch.stack(steered) - torch.stack([self._unsteered(vectors, at) for at in mine], dim=1)
        margin = sign * self.beta * (gains[0] - gains[1])
        loss = -logsigmoid(margin).sum() / len(places)
        loss.backward()
        whole, margins = ranks.all_sum(loss, margin.sum())
        return {"loss": whole, "margin": margins / len(places)}

    def _unsteered(self, vectors: AdditiveVectors, at: int) -> Tensor:
        """Log-probability of the better and the worse output of a pair without the vector, (2,).

        Each is read by itself, so that a run that goes on finds the same numbers whatever is read beside it.
        """
        if at not in self._known:
            pair = (self.better[at], self.worse[at])
            self._known[at] = torch.cat([vectors.outputs([one], gradient=False, sign=0.0).sums for one in pair])
        return self._known[at]


def drawn(size: int, batch: int, step: int, seed: int) -> list[int]:
    """Which of some items a step takes: an epoch takes each at most once, in an order of its own.

    What is left where the batch does not divide their number is another part in each epoch.

    Args:
        size: How many items there are.
        batch: How many a step takes.
        step: From 0.
        seed: Of the orders.

    >>> sorted(drawn(4, 2, 0, 0) + drawn(4, 2, 1, 0))
    [0, 1, 2, 3]
    """
    batch = min(batch, size)
    a_epoch = size // batch
    order = list(range(size))
    random.Random(f"{seed}:{step // a_epoch}").shuffle(order)
    start = step % a_epoch * batch
    return order[start : start + batch]
