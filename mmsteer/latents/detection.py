"""Detectors on features of a dictionary: is something so or not, from the activations of one sample's tokens.

Kuznetsov et al. detect artificial texts by activations summed over the tokens: by one feature and a
threshold, and by boosted trees on all of them, whose most important features they then steer to see what they mean.
Nothing in it is about text: here the samples are clips, or mentions of an object in a caption, and the same detectors
take hidden states as they are, which is what features have to be compared with. Both classes count alike in every fit,
however rare one is.

Source: Kuznetsov et al. 2025, arXiv:2503.03601.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.probes.metrics import auc
from mmsteer.sae.samples import check_samples, positive_samples
from mmsteer.sae.selectors import auroc

TREE_FEATURES = 128
"""Most features that trees are given: those whose own AUC is furthest from chance on the training samples."""
WEAKER = (1.0, 4.0, 16.0)
"""Inverse penalties that are tried, in units of the smallest."""
TOP = 10
"""Features that a detector names."""


@dataclass(frozen=True, eq=False)
class Detector:
    """A fitted detector.

    `score`: from activations (n, features) to scores (n,); positive samples have higher ones.
    `threshold`: scores above it are taken for positive.
    `features`: the columns it rests on, most important first, with their weight: for linear models the signed weight of
    a column of unit spread, for trees the loss of AUC when the column is shuffled, for a single feature 1 or -1.
    """

    name: str
    score: Callable[[Tensor], Tensor]
    threshold: float
    features: tuple[tuple[int, float], ...]


Fit = Callable[[Tensor, Tensor, int], Detector]
"""From activations (n, features), labels (n,) and a seed to a detector."""


@dataclass(frozen=True)
class Detection:
    """How well a detector does on samples that it was not fitted on.

    Attributes:
        detector: Its name.
        inputs: What it was given, such as `features` or `states`.
        auc: Chance that a positive sample scores above another.
        low: Lower end of its 95 % interval, over samples.
        high: Upper end.
        macro_f1: Mean of the F1 of both classes at the detector's own threshold.
        n: Samples.
        positives: Positive ones among them.
        features: The features it rests on; for hidden states nothing.
    """

    detector: str
    inputs: str
    auc: float
    low: float
    high: float
    macro_f1: float
    n: int
    positives: int
    features: tuple[int, ...]

    def row(self) -> dict[str, object]:
        """The result as a row of a table."""
        return {
            "detector": self.detector,
            "on": self.inputs,
            "auc": {"value": self.auc, "low": self.low, "high": self.high, "n": self.n},
            "macro_f1": self.macro_f1,
            "positive": f"{self.positives} of {self.n}",
            "features": self.features[:5],
        }


def single(z: Tensor, y: Tensor, seed: int = 0) -> Detector:
    """The one column, cut and side with the best macro F1 on the samples.

    Args:
        z: Activations, (n, features).
        y: Labels, (n,).
        seed: Not used.
    """
    z, y = check_samples(z, y)
    positive = positive_samples(y)
    f1, cuts = _best_cuts(z, positive)
    below, cuts_below = _best_cuts(-z, positive)
    sides = torch.where(f1 >= below, 1.0, -1.0)
    best = int(torch.maximum(f1, below).argmax())
    side, cut = float(sides[best]), float((cuts if sides[best] > 0 else cuts_below)[best])
    return Detector("single", lambda other: side * other[:, best].double(), cut, ((best, side),))


def logistic(z: Tensor, y: Tensor, seed: int = 0) -> Detector:
    """L1 logistic regression on columns of unit spread; its penalty is chosen on a quarter of the samples.

    The strongest penalty is what the steepest of so many columns reaches when labels are chance.

    `z`: activations, (n, features).
    `y`: labels, (n,).

    Source: the penalty of Donoho and Johnstone 1994, doi:10.1093/biomet/81.3.425, and weaker ones.
    """
    z, y = check_samples(z, y)
    truth = positive_samples(y).numpy()
    spread = z.std(dim=0).clamp(min=1e-9)
    x = (z / spread).numpy()
    least = 1 / math.sqrt(len(z) * math.log(max(z.shape[1], 2)) / 2)
    parts = train_test_split(x, truth, test_size=0.25, stratify=truth, random_state=seed)
    tried = {times: _l1(times * least, parts[0], parts[2]) for times in WEAKER}
    held = torch.from_numpy(parts[3]).double()
    best = max(tried, key=lambda times: auc(torch.from_numpy(tried[times].decision_function(parts[1])), held))
    model = _l1(best * least, x, truth)
    weight, offset = torch.from_numpy(model.coef_[0]), float(model.intercept_[0])
    ranked = _ranked(weight.tolist())
    return Detector("logistic", lambda other: other.double() / spread @ weight + offset, 0.0, ranked)


def trees(z: Tensor, y: Tensor, seed: int = 0) -> Detector:
    """Boosted trees on the features that separate best by themselves, ranked by the AUC that is lost without each.

    Args:
        z: Activations, (n, features).
        y: Labels, (n,).
        seed: Seed of the trees and the shuffles.
    """
    z, y = check_samples(z, y)
    columns, inside = _columns(z, y)
    truth = positive_samples(y).numpy()
    model = HistGradientBoostingClassifier(
        random_state=seed, max_leaf_nodes=8, l2_regularization=1.0, class_weight="balanced"
    )
    model.fit(inside, truth)
    lost = permutation_importance(model, inside, truth, scoring="roc_auc", n_repeats=3, random_state=seed)
    ranked = _ranked(_spread(lost.importances_mean, columns, z.shape[1]))
    return Detector("trees", lambda other: _margin(model, other[:, columns]), 0.0, ranked)


def xgboost(z: Tensor, y: Tensor, seed: int = 0) -> Detector:
    """The trees of XGBoost, as in the paper, ranked by gain.

    `z`: activations, (n, features).
    `y`: labels, (n,).

    Raises:
        DictionaryError: xgboost is not installed.
    """
    try:
        library: Any = import_module("xgboost")
    except ImportError:
        raise DictionaryError("xgboost is not installed; pip install xgboost, or take 'trees' of sklearn") from None
    z, y = check_samples(z, y)
    model = library.XGBClassifier(random_state=seed, importance_type="gain", n_jobs=1)
    model.fit(z.numpy(), positive_samples(y).numpy())

    def score(other: Tensor) -> Tensor:
        return torch.from_numpy(model.predict(other.double().numpy(), output_margin=True)).double()

    return Detector("xgboost", score, 0.0, _ranked(model.feature_importances_.tolist()))


def ridge_logistic(z: Tensor, y: Tensor, seed: int = 0) -> Detector:
    """Logistic regression on all columns, brought to unit spread; the usual probe of hidden states.

    Args:
        z: Activations or hidden states, (n, width).
        y: Labels, (n,).
        seed: Not used.
    """
    z, y = check_samples(z, y)
    mean, spread = z.mean(dim=0), z.std(dim=0).clamp(min=1e-9)
    model = LogisticRegression(C=0.1, max_iter=2000, class_weight="balanced").fit(
        ((z - mean) / spread).numpy(), positive_samples(y).numpy()
    )
    weight, offset = torch.from_numpy(model.coef_[0]), float(model.intercept_[0])
    ranked = _ranked(weight.tolist())
    return Detector("logistic probe", lambda other: (other.double() - mean) / spread @ weight + offset, 0.0, ranked)


def mean_difference(z: Tensor, y: Tensor, seed: int = 0) -> Detector:
    """The projection on the difference of the class means.

    Args:
        z: Activations or hidden states, (n, width).
        y: Labels, (n,).
        seed: Not used.
    """
    z, y = check_samples(z, y)
    positive = positive_samples(y)
    line = z[positive].mean(dim=0) - z[~positive].mean(dim=0)
    offset = _offset(z @ line, positive)
    ranked = _ranked((line * z.std(dim=0)).tolist())
    return Detector("mean difference", lambda other: other.double() @ line, offset, ranked)


DETECTORS: Mapping[str, Fit] = MappingProxyType(
    {"single": single, "logistic": logistic, "trees": trees, "xgboost": xgboost}
)
"""Detectors on features, by name."""

BASELINES: Mapping[str, Fit] = MappingProxyType({"logistic probe": ridge_logistic, "mean difference": mean_difference})
"""Detectors on hidden states, to compare with."""


def detect(
    fit: Fit, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], *, inputs: str = "features", seed: int = 0
) -> Detection:
    """Fit a detector and judge it on other samples.

    Args:
        fit: One of `DETECTORS` or `BASELINES`.
        train: Activations (n, features) and labels (n,) to fit on.
        test: The same, to judge by; no source of a sample should be on both sides.
        inputs: What the activations are, for the record.
        seed: Seed of the detector and of the interval.
    """
    found = fit(*train, seed)
    scores, positive = found.score(test[0]), positive_samples(test[1])
    low, high = auc_interval(scores, positive, seed)
    return Detection(
        found.name,
        inputs,
        auc(scores, positive.double()),
        low,
        high,
        macro_f1(scores > found.threshold, positive),
        len(scores),
        int(positive.sum()),
        tuple(feature for feature, _ in found.features) if inputs == "features" else (),
    )


def compare_detectors(
    features: tuple[Tensor, Tensor],
    states: tuple[Tensor, Tensor],
    y: Tensor,
    y_test: Tensor,
    *,
    names: Sequence[str] = ("single", "logistic", "trees"),
    seed: int = 0,
) -> list[Detection]:
    """Detectors on features beside those on the hidden states of the same samples.

    Args:
        features: Activations to fit on and to judge by, (n, features) each.
        states: Hidden states of the same samples, (n, width) each.
        y: Labels to fit on, (n,).
        y_test: Labels to judge by, (n,).
        names: Which of `DETECTORS`.
        seed: Seed of detectors and intervals.

    Raises:
        DictionaryError: There is no such detector.
    """
    if unknown := set(names) - DETECTORS.keys():
        raise DictionaryError(f"no detector {sorted(unknown)}; choose from {', '.join(DETECTORS)}")
    on_features = [detect(DETECTORS[name], (features[0], y), (features[1], y_test), seed=seed) for name in names]
    on_states = [
        detect(fit, (states[0], y), (states[1], y_test), inputs="states", seed=seed) for fit in BASELINES.values()
    ]
    return on_features + on_states


def macro_f1(said: Tensor, positive: Tensor) -> float:
    """Mean of the F1 of the positive and of the other class.

    `said`: what is taken for positive, (n,) bool.
    `positive`: what is, (n,) bool.
    """
    both = [(said & positive, said, positive), (~said & ~positive, ~said, ~positive)]
    return sum(2 * float(hit.sum()) / max(float(one.sum() + other.sum()), 1.0) for hit, one, other in both) / 2


def auc_interval(scores: Tensor, positive: Tensor, seed: int, draws: int = 500) -> tuple[float, float]:
    """The 95 % interval of the AUC: a percentile bootstrap over samples, each class by itself.

    Args:
        scores: (n,).
        positive: (n,) bool.
        seed: Seed of the resampling.
        draws: Resamples.
    """
    generator = torch.Generator().manual_seed(seed)
    sides = [torch.nonzero(side).flatten() for side in (positive, ~positive)]

    def drawn() -> float:
        rows = torch.cat([side[torch.randint(len(side), (len(side),), generator=generator)] for side in sides])
        return auc(scores[rows], positive[rows].double())

    low, high = np.quantile([drawn() for _ in range(draws)], [0.025, 0.975])
    return float(low), float(high)


def _l1(c: float, x: np.ndarray, truth: np.ndarray) -> LogisticRegression:
    return LogisticRegression(C=c, l1_ratio=1.0, solver="liblinear", class_weight="balanced", random_state=0).fit(
        x, truth
    )


def _best_cuts(z: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Best macro F1 of each column where what exceeds a cut is taken for positive, and the cut; both (features,)."""
    values, order = z.sort(dim=0, descending=True)
    n, all_positive = len(z), float(positive.sum())
    said = torch.arange(1, n, dtype=torch.float64)[:, None]
    hits = positive[order].double().cumsum(dim=0)[:-1]
    rejected = n - said - (all_positive - hits)
    f1 = hits / (said + all_positive) + rejected / (2 * n - said - all_positive)
    # Between equal values there is no cut.
    f1 = torch.where(values[:-1] > values[1:], f1, 0.0)
    best, place = f1.max(dim=0)
    columns = torch.arange(z.shape[1])
    return best, (values[place, columns] + values[place + 1, columns]) / 2


def _offset(scores: Tensor, positive: Tensor) -> float:
    """Where a logistic regression on one score is undecided; the middle of the means where the score says nothing."""
    means = [scores[side].mean() for side in (positive, ~positive)]
    size = float(scores.std())
    if not size > 0:
        return float(scores.mean())
    model = LogisticRegression(C=1e4, class_weight="balanced").fit((scores / size).numpy()[:, None], positive.numpy())
    slope = float(model.coef_[0, 0])
    return -float(model.intercept_[0]) / slope * size if abs(slope) > 1e-6 else float(sum(means)) / 2


def _columns(z: Tensor, y: Tensor) -> tuple[Tensor, np.ndarray]:
    """The columns whose own AUC is furthest from chance, and what is in them."""
    kept = auroc(z, y).abs().topk(min(TREE_FEATURES, z.shape[1])).indices
    return kept, z[:, kept].numpy()


def _margin(model: HistGradientBoostingClassifier, z: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(model.decision_function(z.double().numpy())))


def _spread(values: np.ndarray, columns: Tensor, features: int) -> list[float]:
    return torch.zeros(features, dtype=torch.float64).index_put((columns,), torch.from_numpy(values)).tolist()


def _ranked(weights: Sequence[float]) -> tuple[tuple[int, float], ...]:
    """The largest weights by size, without those of zero."""
    order = sorted(range(len(weights)), key=lambda one: -abs(weights[one]))[:TOP]
    return tuple((one, weights[one]) for one in order if math.isfinite(weights[one]) and weights[one] != 0)
