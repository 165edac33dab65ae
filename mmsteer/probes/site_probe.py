"""What all probes that are fitted at one site do alike: labels, parts of the data, and the judgement at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import ClassVar

from torch import Tensor

from mmsteer.probes.bounds import Seed
from mmsteer.probes.fitted import Fitted, Json, Predictor, Progress, check_states, judge
from mmsteer.probes.linear_readout import fit_line
from mmsteer.probes.split import Split, split_by_source
from mmsteer.probes.targets import Labels, TargetKind, Targets, encode


@dataclass(frozen=True, eq=False)
class FitData:
    """Checked states and their targets in parts.

    `states`: hidden states, (n, width) or (n, tokens, width).
    `split`: the parts of the data.
    `groups`: the source of each sample.
    """

    states: Tensor
    targets: Targets
    split: Split
    groups: Sequence[str] | None

    def part(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """States and targets of some samples, (rows, ...) and (rows, labels), where the states lie.

        `rows`: which, (rows,) int64.
        """
        device = self.states.device
        return self.states[rows.to(device)], self.targets.columns[rows].to(device)

    @property
    def fitting(self) -> tuple[Tensor, Tensor]:
        """What a probe that has nothing to choose is fitted to: all samples but the test's."""
        return self.part(self.split.fitting)

    @property
    def sources(self) -> list[str] | None:
        """The groups of `fitting`."""
        return None if self.groups is None else [self.groups[row] for row in self.split.fitting.tolist()]


@dataclass(frozen=True, eq=False)
class Found:
    """Directions that are still to be judged.

    Attributes:
        directions: Unit vectors, (width, labels) or (tokens, width, labels).
        predictor: Scores of new states; None for projections on the directions, on a line fitted to the targets.
        settings: What the fit chose.
    """

    directions: Tensor
    predictor: Predictor | None = None
    settings: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class SiteProbe:
    """Settings of a probe that is fitted at one site after the other.

    `name`: the probe's name in settings.
    `seed`: seed of the split by source.
    """

    TOKENS: ClassVar[bool] = False
    """Whether states of every token, (n, tokens, width), give each token a direction of its own."""

    name: str = field(kw_only=True)
    seed: Seed = field(default=0, kw_only=True)

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
            x: Hidden states, (n, width); where `TOKENS` also (n, tokens, width).
            y: One label a sample.
            task: What kind of question the labels answer.
            groups: The source of each sample.
            progress: Called with the fraction that is done.
        """
        self._check(task)
        targets = encode(y, task)
        states = check_states(x, len(targets.columns), tokens=self.TOKENS)
        data = FitData(states, targets, split_by_source(targets, groups, self.seed), groups)
        found = self._find(data, progress)
        fitted = judged(data, found, self.named(task) | dict(found.settings))
        if progress:
            progress(1.0)
        return fitted

    def _check(self, task: TargetKind) -> None:
        """Refuse a task or settings that the probe cannot serve."""

    def _find(self, data: FitData, progress: Progress | None) -> Found:
        """Directions from all but the test part; reports which fraction of it is done."""
        raise NotImplementedError

    def named(self, task: TargetKind) -> dict[str, Json]:
        """The settings as plain JSON.

        `task`: what kind of question the labels answer.
        """
        given = asdict(self)
        return {"probe": given.pop("name"), **given, "task": task}


def judged(data: FitData, found: Found, settings: Mapping[str, Json]) -> Fitted:
    """Directions with their held-out scores.

    `data`: what they were found in.
    `settings`: what made the fit.
    """
    predictor = found.predictor or fit_line(*data.fitting, found.directions)
    return judge(data.states, data.targets, data.split, found.directions, predictor, settings)
