"""Vectors that are trained: added to the hidden state at their sites while everything else is frozen."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from mmsteer import hooks
from mmsteer.errors import ProbeError
from mmsteer.layouts import layouts, tokens_of
from mmsteer.likelihood import OutputTokens, output_tokens
from mmsteer.ranks import Ranks
from mmsteer.steering import Attribute, Steering
from mmsteer.tuning.trained_sites import TrainedSites
from mmsteer.types import Direction, Sample, Site, SiteStats

Edited = Callable[[Tensor, Tensor], Tensor]
"""From a hidden state and a mask, (rows, tokens, 1), to the state with what is trained applied where it has ones."""
MEMORY = 16
"""Readings over which what a gated vector adds is averaged."""


class AdditiveVectors(nn.Module):
    """One vector a site, the same for every chosen token: `h + v`.

    Parameters are multiples of the site's typical norm over the square root of the width, so that one step of Adam with
    rate r moves a vector by about r times that norm at every site of every model.

    Args:
        where: Where they are trained.

    Source: Sinii et al. 2025, arXiv:2509.06608 (a vector after each block); "SSV" of Wu et al. 2025, arXiv:2501.17148.
    """

    def __init__(self, where: TrainedSites) -> None:
        super().__init__()
        self.where = where
        widths = where.adapter.widths
        self.parts = nn.ParameterList(nn.Parameter(self._start(widths[site])) for site in where.sites)

    def vectors(self) -> Mapping[Site, Tensor]:
        """The vector of each site, (width,) float32, with their gradients."""
        return {
            site: part * (self.where.norm(site) / part.shape[0] ** 0.5)
            for site, part in zip(self.where.sites, self.parts, strict=True)
        }

    def lengths(self) -> Mapping[Site, float]:
        """What is added at each site, as a norm: the unit `trained`."""
        return {site: float(vector.detach().norm()) for site, vector in self.vectors().items()}

    def constrain(self) -> None:
        """Bring parameters back to where they may be, after a step."""

    def reduce_gradients(self, ranks: Ranks) -> None:
        """Sum the gradients of processes that train together, before a step; all have the same bits then.

        Args:
            ranks: The processes.
        """
        parts = list(self.parameters())
        for part, total in zip(parts, ranks.all_reduce([part.grad for part in parts]), strict=True):
            part.grad = total if total is None else total.to(part)

    def outputs(self, samples: Sequence[Sample], *, gradient: bool = True, sign: float = 1.0) -> OutputTokens:
        """What the steered model says of outputs.

        Args:
            samples: Prompts with outputs, read in one forward.
            gradient: Keep a graph to the vectors.
            sign: Multiplies the vectors; 0 leaves the model unsteered.
        """
        adapter = self.where.adapter
        reading = adapter.reading(samples)
        with ExitStack() as exits:
            found = exits.enter_context(layouts(adapter, adapter.generator, reading))

            def masked(edit: Edited) -> hooks.Edit:
                def edited(hidden: Tensor) -> Tensor:
                    mask = self.where.positions.mask(tokens_of(adapter, adapter.generator, found[-1]))
                    return edit(hidden, mask.unsqueeze(-1).to(hidden))

                return edited

            ports = {adapter.port(site): masked(edit) for site, edit in self._edits(sign).items()} if sign else {}
            exits.enter_context(hooks.edits(ports))
            logits = adapter.read(reading, gradient=gradient, logits="outputs")
        return output_tokens(adapter, reading, found[-1], logits)

    def direction(self, name: str, provenance: Mapping[str, str]) -> Direction:
        """The vectors as a direction; `1trained` adds them as they were trained.

        Args:
            name: `family:label`.
            provenance: How they were trained.

        Raises:
            ProbeError: No vector has moved from zero.
        """
        lengths = {site: length for site, length in self.lengths().items() if length > 0}
        if not lengths:
            raise ProbeError(
                f"{name}: every vector is zero, as no step of training had a gradient; by reward, that is where the "
                "outputs of every prompt earned the same: take another reward, other prompts or a higher temperature"
            )
        states, vectors, stats = self.where.states, dict[Site, Tensor](), dict[Site, SiteStats]()
        for site, length in lengths.items():
            vector = self.vectors()[site].detach().float().cpu()
            vectors[site] = vector / vector.norm()
            along = states.values[site].float() @ vectors[site]
            stats[site] = SiteStats.of(None, along, states.norms[site], length)
        written = {**states.provenance, **provenance}
        return Direction(name, vectors, stats, states.source["model"], written, sketch=states.sketch)

    def steering(self) -> Steering:
        """The vectors as they are now, for the engine; nothing while all are zero."""
        if not any(self.lengths().values()):
            return Steering()
        item = Attribute(self.direction("trained:now", {}), 1.0, positions=self.where.positions, unit="trained")
        return Steering((item,))

    def _start(self, width: int) -> Tensor:
        return torch.zeros(width)

    def _edits(self, sign: float) -> Mapping[Site, Edited]:
        def edited(site: Site, vector: Tensor) -> Edited:
            return lambda hidden, mask: self._edited(site, hidden, vector.to(hidden), mask)

        return {site: edited(site, sign * vector) for site, vector in self.vectors().items()}

    def _edited(self, site: Site, hidden: Tensor, vector: Tensor, mask: Tensor) -> Tensor:
        """The hidden state with a vector added where the mask, (rows, tokens, 1), has ones."""
        del site
        return hidden + mask * vector


class GatedVectors(AdditiveVectors):
    """One unit vector a site, which reads the states of its tokens and is added as strongly as it is found in them.

    Added to every token is the mean of the k largest of relu(h w) over the sequence; what is found in other tokens is
    charged. So the vector is taught to detect and to steer at once.

    Args:
        where: Where they are trained.
        k: How many tokens hold the concept.
        seed: Of the start.

    Attributes:
        charge: What the last reading found beyond the k largest, summed over tokens, mean over rows; with its gradient.

    Source: "ReFT-r1" of Wu et al. 2025, arXiv:2501.17148.
    """

    def __init__(self, where: TrainedSites, k: int = 8, seed: int = 0) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        super().__init__(where)
        self.k = k
        self.charge = torch.zeros(())
        self._rows = 0  # of the last reading
        # What is added, as a mean over the readings so far that forgets: saved with the parameters.
        self.register_buffer("added", torch.zeros(len(where.sites)))
        with torch.no_grad():
            for site, part in zip(where.sites, self.parts, strict=True):
                # Where nothing is found in any state there is no gradient, so the start is on the side of the mean.
                part *= torch.sign(where.states.values[site].float().mean(dim=0) @ part)
        self.constrain()

    def vectors(self) -> Mapping[Site, Tensor]:
        """The unit vector of each site."""
        return {site: part / part.shape[0] ** 0.5 for site, part in zip(self.where.sites, self.parts, strict=True)}

    def lengths(self) -> Mapping[Site, float]:
        """What was added at each site, a mean over recent readings."""
        return dict(zip(self.where.sites, self.get_buffer("added").tolist(), strict=True))

    def constrain(self) -> None:
        """Keep the vectors at a norm of one."""
        with torch.no_grad():
            for part in self.parts:
                part *= part.shape[0] ** 0.5 / part.norm()

    def reduce_gradients(self, ranks: Ranks) -> None:
        """See `AdditiveVectors.reduce_gradients`; what was added is averaged over the rows of all processes.

        Args:
            ranks: The processes.
        """
        super().reduce_gradients(ranks)
        if ranks.count == 1:
            return  # a mean of one would round
        added = self.get_buffer("added")
        gathered = ranks.all_gather((self._rows, added))
        rows, each = torch.tensor([rows for rows, _ in gathered]), torch.stack([one for _, one in gathered])
        added.copy_(rows.to(each) @ each / rows.sum().clamp(min=1))

    def outputs(self, samples: Sequence[Sample], *, gradient: bool = True, sign: float = 1.0) -> OutputTokens:
        """See `AdditiveVectors.outputs`; sets `charge`.

        Args:
            samples: Prompts with outputs, read in one forward.
            gradient: Keep a graph to the vectors.
            sign: Multiplies the vectors.
        """
        self.charge = torch.zeros(())
        return super().outputs(samples, gradient=gradient, sign=sign)

    def _start(self, width: int) -> Tensor:
        return torch.randn(width, generator=self._generator)

    def _edited(self, site: Site, hidden: Tensor, vector: Tensor, mask: Tensor) -> Tensor:
        found = (hidden @ vector).relu() * mask[..., 0]
        largest = found.topk(min(self.k, found.shape[1]), dim=1).values
        self._rows = len(found)
        self.charge = self.charge.to(found) + (found.sum(1) - largest.sum(1)).mean()
        amount = largest.sum(1) / self.k
        self._note(site, float(amount.detach().mean()))
        return hidden + mask * amount[:, None, None] * vector

    def _note(self, site: Site, amount: float) -> None:
        added, at = self.get_buffer("added"), self.where.sites.index(site)
        added[at] = amount if added[at] == 0 else added[at] + (amount - added[at]) / MEMORY
