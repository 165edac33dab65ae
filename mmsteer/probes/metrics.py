"""How well scores tell the truth, on data that the probe has not seen."""

import torch
from torch import Tensor

from mmsteer.probes.targets import TargetKind, Targets

METRICS: dict[TargetKind, str] = {"binary": "auc", "multiclass": "accuracy", "regression": "r2"}


def auc(scores: Tensor, positive: Tensor) -> float:
    """Chance that a positive sample scores above a negative one; ties count half.

    `scores`: (n,).
    `positive`: membership as 0 or 1, (n,); both occur.

    >>> auc(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0, 0, 1, 1]))
    0.875
    """
    yes, no = scores[positive > 0.5].contiguous(), scores[positive <= 0.5].sort().values
    below = torch.searchsorted(no, yes) + torch.searchsorted(no, yes, right=True)
    return float(below.double().mean() / (2 * len(no)))


def r2(scores: Tensor, values: Tensor) -> float:
    """Share of the variance of the values that the scores explain; negative when worse than their mean.

    `scores`: (n,).
    `values`: (n,), not constant.
    """
    residual = (values.double() - scores.double()).square().sum()
    return float(1 - residual / (values.double() - values.double().mean()).square().sum())


def score(scores: Tensor, targets: Targets, rows: Tensor) -> float:
    """The metric of the task (`METRICS`) on some rows.

    `scores`: predictions for those rows, (rows, labels).
    `rows`: which samples were predicted, (rows,).
    """
    truth = targets.columns[rows].to(scores.device)
    if targets.task == "multiclass":
        return float((scores.argmax(dim=1) == truth.argmax(dim=1)).double().mean())
    return column_scores(scores, targets, rows)[0]


def column_scores(scores: Tensor, targets: Targets, rows: Tensor) -> list[float]:
    """AUC of each column against the rest, or R² of a regression.

    `scores`: predictions for those rows, (rows, labels).
    `rows`: which samples were predicted, (rows,).
    """
    truth = targets.columns[rows].to(scores.device)
    metric = r2 if targets.task == "regression" else auc
    return [metric(scores[:, k], truth[:, k]) for k in range(truth.shape[1])]
