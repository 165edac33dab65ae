"""Training samples of a vector that was trained on the likelihood of outputs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmsteer import hooks
from mmsteer.attribution.metrics import Metric, log_probability
from mmsteer.errors import AttributionError
from mmsteer.layouts import layouts, tokens_of
from mmsteer.likelihood import OutputTokens, output_tokens
from mmsteer.steering import Attribute
from mmsteer.steering.plan import length
from mmsteer.types import Adapter, Direction, Positions, Sample, Site

Retrain = Callable[[Sequence[int]], Mapping[Site, Tensor]]
"""Trains anew on some of the samples, by their numbers: what is added at each site."""


@dataclass(frozen=True, eq=False)
class VectorSamples:
    """A vector trained on wanted outputs (SSV), and a number of the model that it steers.

    The objective is the negative log-likelihood of the wanted outputs, in nats, summed over samples.

    Attributes:
        adapter: The model.
        direction: The vector, with the length that was trained.
        samples: What it was trained on: prompts with wanted outputs.
        asked: A prompt with an output that the number is of.
        metric: The number, such as the log-probability of that output.
        positions: Where the vector is added.
        retrain: Trains again on some of the samples; None where only `influence` is asked for.
        batch: Samples a forward.
    """

    adapter: Adapter
    direction: Direction
    samples: Sequence[Sample]
    asked: Sample
    metric: Metric = log_probability
    positions: Positions = Positions("all")
    retrain: Retrain | None = None
    batch: int = 8

    def __post_init__(self) -> None:
        if self.asked.output is None:
            raise AttributionError(f"{self.asked.id}: the number is of an output, and none is given")
        if self.direction.edits or any(stats.length is None for stats in self.direction.stats.values()):
            raise AttributionError(
                f"{self.direction.name}: no vectors with a length that was trained, so nothing says what was learned "
                "from samples; of a probe name the samples that it is fitted to"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """See `Learned.names`."""
        return tuple(sample.id for sample in self.samples)

    @cached_property
    def lengths(self) -> Mapping[Site, float]:
        """What is added at each site, as a norm; parameters are in units of it."""
        item = Attribute(self.direction, 1.0, unit="trained")
        return {site: length(item, site) for site in self.direction.sites}

    @cached_property
    def parameters(self) -> Tensor:
        """See `Learned.parameters`."""
        return torch.cat([self.direction.vectors[site].float() for site in self.direction.sites])

    def terms(self, parameters: Tensor, shares: Tensor) -> Iterator[Tensor]:
        """See `Learned.terms`."""
        for rows in torch.arange(len(self.samples)).split(self.batch):
            read = self._read([self.samples[at] for at in rows.tolist()], parameters)
            yield -(shares[rows] * read.sums.cpu()).sum()

    def number(self, parameters: Tensor, shares: Tensor) -> Tensor:
        """See `Learned.number`."""
        del shares
        return self.metric(self._read([self.asked], parameters))[0].cpu()

    def again(self, shares: Tensor) -> float:
        """See `Learned.again`; without samples the model is unsteered, and with all it is as it was trained.

        Raises:
            AttributionError: Nothing trains again.
        """
        kept = shares.bool()
        if kept.all() or not kept.any():
            parameters = self.parameters * float(kept.all())
        elif self.retrain is None:
            raise AttributionError("training again without samples needs `retrain`; or take influence, which does not")
        else:
            added = self.retrain(kept.nonzero().flatten().tolist())
            parameters = torch.cat([added[site] / size for site, size in self.lengths.items()])
        with torch.no_grad():
            return float(self.number(parameters, shares))

    def _read(self, samples: Sequence[Sample], parameters: Tensor) -> OutputTokens:
        adapter, reading = self.adapter, self.adapter.reading(samples)
        widths = [self.direction.vectors[site].shape[0] for site in self.lengths]
        pushes = dict(zip(self.lengths, parameters.split(widths), strict=True))
        with ExitStack() as exits:
            # The kernels of fused attention have no second derivative.
            exits.enter_context(sdpa_kernel(SDPBackend.MATH))
            exits.enter_context(hooks.frozen(adapter.model))
            found = exits.enter_context(layouts(adapter, adapter.generator, reading))

            def added(site: Site) -> hooks.Edit:
                def edit(hidden: Tensor) -> Tensor:
                    mask = self.positions.mask(tokens_of(adapter, adapter.generator, found[-1])).to(hidden)
                    return hidden + mask[..., None] * (self.lengths[site] * pushes[site]).to(hidden)

                return edit

            exits.enter_context(hooks.edits({adapter.port(site): added(site) for site in pushes}))
            logits = adapter.read(reading, gradient=torch.is_grad_enabled(), logits="outputs")
        return output_tokens(adapter, reading, found[-1], logits)
