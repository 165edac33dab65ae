"""A direction that knows nothing, in the protocol of probes: the control among finders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.fitted import Fitted, Progress
from mmsteer.probes.site_probe import FitData, Found, SiteProbe
from mmsteer.probes.targets import Labels, TargetKind
from mmsteer.types import Site


@dataclass(frozen=True)
class Chance(SiteProbe):
    """A unit vector drawn at random for each label and site, whatever the data say.

    What it reaches at the dose of the others is what the dose does. Its held-out AUC is not exactly a half: a random
    direction reads a little of everything, on either side.

    Attributes:
        seed: Seed of the draw and of the split by source.
    """

    name: Literal["random"] = field(default="random", kw_only=True)

    def fit_sites(
        self,
        states: Mapping[Site, Tensor],
        y: Labels,
        *,
        task: TargetKind,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Mapping[Site, Fitted]:
        """See `JointProbe.fit_sites`: one vector at every site would add up, as no unrelated ones do.

        Args:
            states: For each site hidden states, (n, width) or (n, tokens, width).
            y: One label a sample.
            task: What kind of question the labels answer.
            groups: The source of each sample.
            progress: Called with the fraction that is done.

        Raises:
            ProbeError: The data cannot carry a probe.
        """
        fitted: dict[Site, Fitted] = {}
        for place, (site, x) in enumerate(states.items()):
            try:
                fitted[site] = _Placed(seed=self.seed, place=place).fit(x, y, task=task, groups=groups)
            except ProbeError as error:
                raise ProbeError(f"{site}: {error}") from error
            if progress:
                progress(len(fitted) / len(states))
        return fitted

    def _find(self, data: FitData, progress: Progress | None) -> Found:
        return _drawn(data, self.seed)


@dataclass(frozen=True)
class _Placed(SiteProbe):
    """The draw at one of several sites.

    `place`: which; the first has the draw of a single site.
    """

    name: str = field(default="random", kw_only=True)
    place: int = field(kw_only=True)

    def _find(self, data: FitData, progress: Progress | None) -> Found:
        return _drawn(data, self.seed + 1_000_003 * self.place)


def _drawn(data: FitData, seed: int) -> Found:
    generator = torch.Generator().manual_seed(seed)
    shape = (data.states.shape[1], len(data.targets.labels))
    drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return Found((drawn / drawn.norm(dim=0)).to(data.states.device))
