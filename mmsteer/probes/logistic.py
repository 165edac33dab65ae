"""Logistic regression: the direction is the weight."""

import warnings
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.affine import Affine
from mmsteer.probes.bounds import Positive
from mmsteer.probes.fitted import Progress
from mmsteer.probes.site_probe import FitData, Found, SiteProbe
from mmsteer.probes.targets import TargetKind, Targets

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
UPDATES = 2000


@dataclass(frozen=True)
class Logistic(SiteProbe):
    """The weight of an L2-penalised logistic regression; multiclass is one multinomial regression.

    It is fitted on coordinates of mean 0 and spread 1, so that the penalty is fair to all, and the weight is taken
    back to the coordinates of the hidden state before it is scaled to length 1. The penalty is the one with the
    smallest log loss on the validation part; the fit is then repeated on training and validation part together.
    Multinomial weights add up to zero, so a class's weight is what raises its logit above the mean of all.

    A weight tells the classes apart, which takes away what they share with the noise: where coordinates are correlated
    it is not the direction in which the classes differ, and may detect better and steer worse than the mean
    difference.

    Attributes:
        penalties: Values of C to choose from, the inverse of the penalty's strength, as in scikit-learn.
        seed: Seed of the split by source.

    Source: Alain and Bengio 2016, arXiv:1610.01644; as a steering vector Li et al. 2023, arXiv:2306.03341.
    """

    name: Literal["logistic"] = field(default="logistic", kw_only=True)
    penalties: Annotated[tuple[Positive, ...], Field(min_length=1)] = GRID

    def _check(self, task: TargetKind) -> None:
        if task == "regression":
            raise ProbeError("a logistic probe tells classes apart; for values take the linear probe")
        if not self.penalties:
            raise ProbeError("penalties is empty: there is nothing to try")

    def _find(self, data: FitData, progress: Progress | None) -> Found:
        states, split, classes = data.states, data.split, _classes(data.targets)
        losses = []
        for done, penalty in enumerate(self.penalties, start=1):
            losses.append(_loss(states, classes, split.train, split.validation, penalty))
            if progress:
                progress(done / (len(self.penalties) + 1))
        chosen = self.penalties[int(np.argmin(losses))]
        predictor = regression(states, classes, split.fitting, chosen)
        if len(data.targets.labels) == 2:
            predictor = _both(predictor)
        return Found(predictor.directions, predictor, {"chosen": chosen, "loss": min(losses)})


def _classes(targets: Targets) -> np.ndarray[Any, Any]:
    """The class of each sample as a number, (n,)."""
    columns = targets.columns
    return (columns[:, 0] if targets.task == "binary" else columns.argmax(dim=1)).long().cpu().numpy()


def _both(one: Affine) -> Affine:
    """Two classes by name: the regression has the second one's logit alone, and multinomial weights add up to zero."""
    halves = torch.tensor([[-0.5, 0.5]]).to(one.weights)
    return Affine.of(one.weights @ halves, one.offset * halves[0])


def _loss(x: Tensor, classes: np.ndarray[Any, Any], train: Tensor, validation: Tensor, penalty: float) -> float:
    """Log loss on the validation part."""
    from sklearn.metrics import log_loss  # slow to import, and needed only where a regression is fitted

    logits = regression(x, classes, train, penalty)(x[validation.to(x.device)]).double().cpu()
    # In the binary case the logit of the other class is zero.
    both = torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits
    return float(log_loss(classes[validation.numpy()], both.softmax(dim=1).numpy(), labels=np.unique(classes)))


def regression(x: Tensor, classes: np.ndarray[Any, Any], rows: Tensor, penalty: float) -> Affine:
    """A penalised logistic regression in the coordinates of the states.

    Args:
        x: Hidden states, (n, width).
        classes: The class of each, (n,).
        rows: Which samples to fit, (rows,).
        penalty: C.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    train = x[rows.to(x.device)].double()
    mean, spread = train.mean(dim=0), train.std(dim=0)
    spread = torch.where(spread > 0, spread, 1.0)  # a coordinate that never varies gets no weight anyway
    model = LogisticRegression(C=penalty, max_iter=UPDATES)
    with warnings.catch_warnings():
        # Few samples in many dimensions converge slowly, long after the weight has stopped turning.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(((train - mean) / spread).cpu().numpy(), classes[rows.numpy()])
    weights = torch.from_numpy(model.coef_.T).to(train) / spread[:, None]  # (width, labels)
    return Affine.of(weights, torch.from_numpy(model.intercept_).to(train) - mean @ weights)
