"""Visual and textual intervention: directions from pairs, over all layers at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.fitted import Fitted, Progress, check_states
from mmsteer.probes.pairs import differences, first_component, paired
from mmsteer.probes.pca import check_classes, principal_direction
from mmsteer.probes.site_probe import FitData, Found, SiteProbe, judged
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import Labels, TargetKind, encode
from mmsteer.types import Site

Mode = Literal["paper", "code"]
ALONE = Site("alone", 0)


@dataclass(frozen=True)
class VTI(SiteProbe):
    """VTI's direction from pairs of a clean and a hallucinated caption, or of a masked and a clean image.

    `paper` takes at each layer (and token) the first principal direction of the differences. `code` is what the
    released program computes: the first component of the differences about their mean, with norm 1 over all layers
    together, plus the mean difference, which is much longer; so it is the mean difference but for a few degrees.
    The sign of that component follows from the sample furthest from zero and means nothing. Two of the
    program's steps are not followed: it mixes layers and tokens up before it takes the visual component, which
    leaves the mean as it is; and it leaves the vectors' lengths as they are until it applies them at length 1.

    Attributes:
        mode: `paper` or `code`.
        seed: Seed of the split by source.

    Source: Liu, Ye and Zou 2025, arXiv:2410.15778.
    """

    TOKENS = True
    name: Literal["vti"] = field(default="vti", kw_only=True)
    mode: Mode = "paper"

    def fit(
        self,
        x: Tensor,
        y: Labels,
        *,
        task: TargetKind,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Fitted:
        """See `Probe.fit`; in mode `code` the one layer is all layers.

        Args:
            x: Hidden states, (n, width) or (n, tokens, width).
            y: One label a sample.
            task: What kind of question the labels answer; `binary` alone.
            groups: The pair of each sample.
            progress: Called with the fraction that is done.
        """
        return self.fit_sites({ALONE: x}, y, task=task, groups=groups, progress=progress)[ALONE]

    def fit_sites(
        self,
        states: Mapping[Site, Tensor],
        y: Labels,
        *,
        task: TargetKind,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Mapping[Site, Fitted]:
        """See `JointProbe.fit_sites`.

        Args:
            states: For each site hidden states, (n, width) or (n, tokens, width).
            y: One label a sample.
            task: What kind of question the labels answer; `binary` alone.
            groups: The pair of each sample.
            progress: Called with the fraction that is done.

        Raises:
            ProbeError: The data cannot carry a probe, do not vary, or the groups do not pair the samples.
        """
        check_classes("vti", task, ("binary",))
        if self.mode not in get_args(Mode):
            raise ProbeError(f"no mode {self.mode!r} of vti; choose from {', '.join(get_args(Mode))}")
        targets = encode(y, task)
        checked = {site: check_states(x, len(targets.columns), tokens=True) for site, x in states.items()}
        split = split_by_source(targets, groups, self.seed)
        if groups is None or not paired(groups, targets.columns[:, 0]):
            raise ProbeError("vti compares the two sides of pairs; give each pair's samples a group of their own")
        data = {site: FitData(x, targets, split, groups) for site, x in checked.items()}
        settings = self.named(task) | {"sites": len(states)}
        fitted = {}
        for done, (site, vector) in enumerate(self._directions(data).items(), start=1):
            fitted[site] = judged(data[site], Found(vector[..., None]), settings)
            if progress:
                progress(done / len(data))
        return fitted

    def _directions(self, data: Mapping[Site, FitData]) -> dict[Site, Tensor]:
        fitting = {
            site: (x, columns[:, 0], one.sources or []) for site, one in data.items() for x, columns in [one.fitting]
        }
        if self.mode == "paper":
            return {site: principal_direction(*one) for site, one in fitting.items()}
        return _component_and_mean({site: differences(*one) for site, one in fitting.items()})


def _component_and_mean(changes: Mapping[Site, Tensor]) -> dict[Site, Tensor]:
    means = {site: change.mean(dim=0) for site, change in changes.items()}
    scale = max(float(change.norm(dim=-1).mean()) for change in changes.values())
    component = first_component([changes[site] - means[site] for site in changes], scale)
    sums = {site: part + means[site] for site, part in zip(changes, component, strict=True)}
    return {site: both / both.norm(dim=-1, keepdim=True) for site, both in sums.items()}
