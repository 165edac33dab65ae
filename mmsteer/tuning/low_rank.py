"""Low-rank edits that are trained: LoReFT and DiReFT."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from mmsteer.errors import ProbeError
from mmsteer.tuning.trained_sites import TrainedSites
from mmsteer.tuning.vectors import AdditiveVectors, Edited
from mmsteer.types import Direction, LowRank, Site

Kind = Literal["loreft", "direft"]


class LowRankEdits(AdditiveVectors):
    """One low-rank edit a site, the same for every chosen token, which begins as no edit at all.

    Parameters are scaled so that one step of Adam with rate r moves what is added by about r times the site's typical
    norm, as of `AdditiveVectors`.

    Args:
        where: Where they are trained.
        rank: Dimensions that are read and written.
        kind: `loreft`, h + Rᵀ(W h + b - R h) with orthonormal rows R; or `direft`, h + W2ᵀ(W1 h + b).
        seed: Of the rows that are written at the start.

    Differences: pyreft draws W at random, so that training begins at an edit; here W begins as R, and W1 at zero. R is
    kept orthonormal by a QR decomposition after each step, not by a parametrisation.

    Source: Wu et al. 2024, ReFT, arXiv:2404.03592, equations 2 and 3.
    """

    def __init__(self, where: TrainedSites, rank: int = 4, kind: Kind = "loreft", seed: int = 0) -> None:
        self.kind, self.rank = kind, rank
        self._generator = torch.Generator().manual_seed(seed)
        widths = [where.adapter.widths[site] for site in where.sites]
        if not 1 <= rank <= min(widths):
            raise ProbeError(f"rank {rank}: an edit of states of width {min(widths)} has a rank between 1 and that")
        super().__init__(where)
        self.constrain()
        self.reads = nn.ParameterList(
            nn.Parameter(part.detach().clone() if kind == "loreft" else torch.zeros_like(part)) for part in self.parts
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(rank)) for _ in where.sites)

    def edits(self) -> Mapping[Site, LowRank]:
        """The edit of each site, with its gradients."""
        found = {}
        for site, write, read, bias in zip(self.where.sites, self.parts, self.reads, self.biases, strict=True):
            scale = write.shape[1] ** -0.5
            rows = (read - write) if self.kind == "loreft" else read
            found[site] = LowRank(rows * scale, bias * self.where.norm(site), write * scale)
        return found

    def vectors(self) -> Mapping[Site, Tensor]:
        """What is added at each site on average over the states that were measured there, (width,)."""
        return {site: edit.change(self._states(site, edit)).mean(dim=0) for site, edit in self.edits().items()}

    def constrain(self) -> None:
        """Keep the rows that LoReFT writes orthonormal; a row keeps its side."""
        if self.kind == "direft":
            return
        with torch.no_grad():
            for part in self.parts:
                rows, above = torch.linalg.qr(part.T)
                part.copy_((rows * torch.sign(above.diagonal())).T * part.shape[1] ** 0.5)

    def direction(self, name: str, provenance: Mapping[str, str]) -> Direction:
        """The edits as a direction that says what they add on average; `1trained` does what was trained.

        Args:
            name: `family:label`.
            provenance: How they were trained.

        Raises:
            ProbeError: No edit has moved from the start.
        """
        found = super().direction(name, provenance)
        plain = {site: self.edits()[site] for site in found.sites}
        return replace(found, edits={site: _detached(edit) for site, edit in plain.items()})

    def _edits(self, sign: float) -> Mapping[Site, Edited]:
        def edited(edit: LowRank) -> Edited:
            def change(hidden: Tensor, mask: Tensor) -> Tensor:
                precise = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
                return hidden + mask * sign * edit.beside(precise).change(precise).to(hidden)

            return change

        return {site: edited(edit) for site, edit in self.edits().items()}

    def _start(self, width: int) -> Tensor:
        return torch.randn(self.rank, width, generator=self._generator)

    def _states(self, site: Site, edit: LowRank) -> Tensor:
        return self.where.states.values[site].to(edit.read)


def _detached(edit: LowRank) -> LowRank:
    return LowRank(*(part.detach().float().cpu() for part in (edit.read, edit.bias, edit.write)))
