"""One concept as a model sees it: answers with and without it, and the states of their tokens."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mmsteer.adapters import AnyAdapter
from mmsteer.axbench.concepts import Concept, Example
from mmsteer.latents.token_states import selected_states
from mmsteer.tuning import TrainedSites, measure_sites
from mmsteer.types import Positions, Sample, Site

READ = Positions("generated")
"""What is read: the tokens of answers; the prompt and its template are the same on both sides."""


@dataclass(frozen=True, eq=False)
class Material:
    """A concept's examples on one model.

    Attributes:
        adapter: The model.
        site: Where concepts are read and written.
        concept: The concept.
        examples: Most training examples of each side.
        seed: Of which they are, where there are more.
        steered: The tokens that are steered, in training too.
    """

    adapter: AnyAdapter
    site: Site
    concept: Concept
    examples: int
    seed: int
    steered: Positions = Positions("all")

    @cached_property
    def positive(self) -> list[Sample]:
        """Training answers with the concept."""
        return self._samples(self._some(positive=True))

    @cached_property
    def negative(self) -> list[Sample]:
        """Training answers without it."""
        return self._samples(self._some(positive=False))

    @cached_property
    def states(self) -> tuple[list[Tensor], list[Tensor]]:
        """States of the training answers, (tokens, width) each: with the concept, and without."""
        return self._read(self.positive), self._read(self.negative)

    @cached_property
    def tested(self) -> tuple[list[Tensor], list[bool]]:
        """States of the answers that are told apart, and which of them have the concept."""
        half = self.concept.halves()[0]
        return self._read(self._samples(half)), [one.positive for one in half]

    @cached_property
    def where(self) -> TrainedSites:
        """The site for training: everything that is steered is measured there."""
        return measure_sites(self.adapter, self.positive, str(self.site), self.steered)

    @property
    def norm(self) -> float:
        """The typical norm of a state at the site."""
        return self.where.norm(self.site)

    def tokens(self) -> tuple[Tensor, Tensor]:
        """All training tokens, (tokens, width), and which are of answers with the concept, (tokens,) bool."""
        mine, others = (torch.cat(some) for some in self.states)
        return torch.cat([mine, others]), torch.arange(len(mine) + len(others)) < len(mine)

    def _some(self, *, positive: bool) -> list[Example]:
        side = [one for one in self.concept.train if one.positive == positive]
        return random.Random(f"{self.seed}:{self.concept.id}:{positive}").sample(side, min(self.examples, len(side)))

    def _samples(self, examples: Sequence[Example]) -> list[Sample]:
        return [one.sample(str(at)) for at, one in enumerate(examples) if not one.is_blank]

    def _read(self, samples: Sequence[Sample]) -> list[Tensor]:
        return selected_states(self.adapter, samples, self.site, READ)
