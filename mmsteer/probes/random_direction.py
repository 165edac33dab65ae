"""A direction that knows nothing, in the protocol of probes: the control among finders."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from mmsteer.probes.fitted import Fitted, Progress, check_states, judge
from mmsteer.probes.linear_readout import fit_line
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import Labels, TargetKind, encode


@dataclass(frozen=True)
class Chance:
    """A unit vector drawn at random for each label, whatever the data say.

    What it reaches at the dose of the others is what the dose does. Its held-out AUC is not exactly a half: a random
    direction reads a little of everything, on either side.

    Attributes:
        seed: Seed of the draw and of the split by source.
    """

    seed: int = 0

    def fit(
        self,
        x: Tensor,
        y: Labels,
        *,
        task: TargetKind,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Fitted:
        """See `Probe.fit`.

        Args:
            x: Hidden states, (n, width).
            y: One label a sample.
            task: What kind of question the labels answer.
            groups: The source of each sample.
            progress: Called with the fraction that is done.
        """
        targets = encode(y, task)
        states = check_states(x, len(targets.columns))
        split = split_by_source(targets, groups, self.seed)
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randn(states.shape[1], len(targets.labels), generator=generator, dtype=torch.float64)
        directions = (drawn / drawn.norm(dim=0)).to(x.device)
        rows = split.fitting.to(x.device)
        line = fit_line(states[rows], targets.columns.to(x.device)[rows], directions)
        settings = {"probe": "random", **asdict(self), "task": task}
        fitted = judge(states, targets, split, line.directions, line, settings)
        if progress:
            progress(1.0)
        return fitted
