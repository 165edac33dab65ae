"""What a probe is, and the value that fitting makes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.metrics import METRICS, column_scores, score
from mmsteer.probes.split import Split
from mmsteer.probes.targets import Labels, Targets, Task

Predictor = Callable[[Tensor], Tensor]
Progress = Callable[[float], None]
Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Directions and a predictor, found on one part of the data and judged on another.

    Attributes:
        task: What kind of question was learned.
        directions: For each label a unit vector, (width,) float32 on the CPU. Samples of the label (binary
            `yes`, multiclass: the class; regression `more`: larger values) lie further along it.
        metric: `auc` (binary), `accuracy` (multiclass) or `r2` (regression).
        score: The metric of the predictor on the test part.
        label_scores: For each label the held-out score of its direction alone: AUC of the projection
            against the rest, or the squared correlation with the value.
        settings: Every choice that made this fit, the ones found by search included; plain JSON.
        predictor: The function behind `scores`.
    """

    task: Task
    directions: Mapping[str, Tensor]
    metric: str
    score: float
    label_scores: Mapping[str, float]
    settings: Mapping[str, Json]
    predictor: Predictor

    def scores(self, x: Tensor) -> Tensor:
        """Predictions for new hidden states, (n, labels); larger means more of the label.

        Args:
            x: Hidden states, (n, width).

        Raises:
            ProbeError: The width is not the one that was fitted.
        """
        width = len(next(iter(self.directions.values())))
        if x.ndim != 2 or x.shape[1] != width:
            raise ProbeError(f"scores: expected (n, {width}), got {tuple(x.shape)}")
        return self.predictor(x)


class Probe(Protocol):
    """Settings of a way to find directions; frozen, and equal settings find equal directions."""

    def fit(
        self,
        x: Tensor,
        y: Labels,
        *,
        task: Task,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Fitted:
        """Find one direction a label and score it on held-out sources.

        Args:
            x: Hidden states, (n, width); the fit runs on their device.
            y: One label a sample, as `encode` takes them.
            task: What kind of question the labels answer.
            groups: The source of each sample; no source is on both sides of a split.
            progress: Called with the fraction that is done.

        Raises:
            ProbeError: The data cannot carry a probe; the message says why.
        """
        ...


def check_states(x: Tensor, samples: int) -> Tensor:
    """Hidden states as float32, refused where a probe could only fail later.

    Args:
        x: Hidden states, (n, width).
        samples: How many labels came with them.

    Raises:
        ProbeError: Wrong shape, wrong number of samples, NaN, or no variation.
    """
    if x.ndim != 2:
        raise ProbeError(f"hidden states: expected (n, width), got {tuple(x.shape)}; pool them first")
    if len(x) != samples:
        raise ProbeError(f"{len(x)} hidden states for {samples} labels")
    states = x.detach().float()
    if not states.isfinite().all():
        bad = (~states.isfinite().all(dim=1)).nonzero().flatten().tolist()
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
        x: Hidden states, (n, width).
        targets: Their targets.
        split: The parts of the data.
        directions: Unit vectors, (width, labels).
        predictor: Scores of new states.
        settings: What made the fit.
    """
    held_out = x[split.test.to(x.device)]
    truth = targets.columns[split.test].to(x.device)
    projection = held_out @ directions.to(x)
    if targets.task == "regression":
        alone = [float(torch.corrcoef(torch.stack([projection[:, 0], truth[:, 0]]))[0, 1].square())]
    else:
        alone = column_scores(projection, targets, split.test)
    return Fitted(
        task=targets.task,
        directions={label: directions[:, k].float().cpu().contiguous() for k, label in enumerate(targets.labels)},
        metric=METRICS[targets.task],
        score=score(predictor(held_out), targets, split.test),
        label_scores=dict(zip(targets.labels, alone, strict=True)),
        settings=dict(settings),
        predictor=predictor,
    )
