"""What a probe is, and the value that fitting makes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.linear_readout import project
from mmsteer.probes.metrics import METRICS, column_scores, score
from mmsteer.probes.split import Split
from mmsteer.probes.targets import Labels, TargetKind, Targets
from mmsteer.types import Site

Predictor = Callable[[Tensor], Tensor]
Progress = Callable[[float], None]
Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Directions and a predictor, found on one part of the data and judged on another.

    Attributes:
        task: What kind of question was learned.
        directions: For each label a unit vector, (width,) float32 on the CPU, or a unit vector for each token,
            (tokens, width). Samples of the label (binary `yes`, multiclass: the class; regression `more`: larger
            values) lie further along it.
        metric: `auc` (binary), `accuracy` (multiclass) or `r2` (regression).
        score: The metric of the predictor on the test part.
        label_scores: For each label the held-out score of its direction alone: AUC of the projection
            against the rest, or the squared correlation with the value.
        settings: Every choice that made this fit, the ones found by search included; plain JSON.
        predictor: The function behind `scores`.
    """

    task: TargetKind
    directions: Mapping[str, Tensor]
    metric: str
    score: float
    label_scores: Mapping[str, float]
    settings: Mapping[str, Json]
    predictor: Predictor

    def scores(self, x: Tensor) -> Tensor:
        """Predictions for new hidden states, (n, labels); larger means more of the label.

        Args:
            x: Hidden states, (n, width) or (n, tokens, width).

        Raises:
            ProbeError: The shape of one sample is not the one that was fitted.
        """
        shape = next(iter(self.directions.values())).shape
        if x.shape[1:] != shape:
            raise ProbeError(f"scores: expected (n, {', '.join(map(str, shape))}), got {tuple(x.shape)}")
        return self.predictor(x)


class Probe(Protocol):
    """Settings of a way to find directions; frozen, and equal settings find equal directions."""

    def fit(
        self,
        x: Tensor,
        y: Labels,
        *,
        task: TargetKind,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Fitted:
        """Find one direction a label and score it on held-out sources.

        Args:
            x: Hidden states, (n, width); the fit runs on their device. Probes that can find a direction for each
                token also take (n, tokens, width).
            y: One label a sample, as `encode` takes them.
            task: What kind of question the labels answer.
            groups: The source of each sample; no source is on both sides of a split.
            progress: Called with the fraction that is done.

        Raises:
            ProbeError: The data cannot carry a probe; the message says why.
        """
        ...


@runtime_checkable
class JointProbe(Protocol):
    """A probe whose directions depend on all sites together."""

    def fit_sites(
        self,
        states: Mapping[Site, Tensor],
        y: Labels,
        *,
        task: TargetKind,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Mapping[Site, Fitted]:
        """Find one direction a label at every site and score each on held-out sources.

        Args:
            states: For each site hidden states, (n, width) or (n, tokens, width).
            y: One label a sample, as `encode` takes them.
            task: What kind of question the labels answer.
            groups: The source of each sample; no source is on both sides of a split.
            progress: Called with the fraction that is done.

        Raises:
            ProbeError: The data cannot carry a probe; the message says why.
        """
        ...


def check_states(x: Tensor, samples: int, *, tokens: bool = False) -> Tensor:
    """Hidden states as float32, refused where a probe could only fail later.

    Args:
        x: Hidden states, (n, width).
        samples: How many labels came with them.
        tokens: Whether (n, tokens, width) will do too.

    Raises:
        ProbeError: Wrong shape, wrong number of samples, NaN, or no variation.
    """
    if x.ndim != 2 and not (tokens and x.ndim == 3):
        allowed = "(n, width) or (n, tokens, width)" if tokens else "(n, width)"
        raise ProbeError(f"hidden states: expected {allowed}, got {tuple(x.shape)}; pool them first")
    if len(x) != samples:
        raise ProbeError(f"{len(x)} hidden states for {samples} labels")
    states = x.detach().float()
    if not states.isfinite().all():
        bad = (~states.flatten(1).isfinite().all(dim=1)).nonzero().flatten().tolist()
        raise ProbeError(f"hidden states: NaN or infinite in {len(bad)} samples, the first is row {bad[0]}")
    if bool((states == states[:1]).all()):
        raise ProbeError("hidden states: all samples are equal, so there is no direction between them")
    return states


def judge(
    x: Tensor,
    targets: Targets,
    split: Split,
    directions: Tensor,
    predictor: Predictor,
    settings: Mapping[str, Json],
) -> Fitted:
    """Measure directions and predictor on the test part and freeze them.

    Args:
        x: Hidden states, (n, width) or (n, tokens, width).
        targets: Their targets.
        split: The parts of the data.
        directions: Unit vectors, (width, labels) or (tokens, width, labels).
        predictor: Scores of new states.
        settings: What made the fit.
    """
    held_out = x[split.test.to(x.device)]
    truth = targets.columns[split.test].to(x.device)
    projection = project(held_out, directions.to(x))
    if targets.task == "regression":
        alone = [float(torch.corrcoef(torch.stack([projection[:, 0], truth[:, 0]]))[0, 1].square())]
    else:
        alone = column_scores(projection, targets, split.test)
    return Fitted(
        task=targets.task,
        directions={label: directions[..., k].float().cpu().contiguous() for k, label in enumerate(targets.labels)},
        metric=METRICS[targets.task],
        score=score(predictor(held_out), targets, split.test),
        label_scores=dict(zip(targets.labels, alone, strict=True)),
        settings=dict(settings),
        predictor=predictor,
    )
