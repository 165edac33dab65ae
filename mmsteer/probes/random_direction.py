"""A direction that knows nothing, in the protocol of probes: the control among finders."""

from dataclasses import dataclass, field
from typing import Literal

import torch

from mmsteer.probes.fitted import Progress
from mmsteer.probes.site_probe import FitData, Found, SiteProbe


@dataclass(frozen=True)
class Chance(SiteProbe):
    """A unit vector drawn at random for each label, whatever the data say.

    What it reaches at the dose of the others is what the dose does. Its held-out AUC is not exactly a half: a random
    direction reads a little of everything, on either side.

    Attributes:
        seed: Seed of the draw and of the split by source.
    """

    name: Literal["random"] = field(default="random", kw_only=True)

    def _find(self, data: FitData, progress: Progress | None) -> Found:
        generator = torch.Generator().manual_seed(self.seed)
        shape = (data.states.shape[1], len(data.targets.labels))
        drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return Found((drawn / drawn.norm(dim=0)).to(data.states.device))
