"""Which features go with a label or a reward.

Every selector scores all features at once. The more a feature goes with it, the larger its score; a score of zero or
below says that the feature does not, and a feature that was never active has zero.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.sae.pearson import pearson
from mmsteer.sae.samples import check_samples, positive_samples

Selector = Callable[[Tensor, Tensor], Tensor]
"""Scores (features,) float64, from pooled activations (n, features) and labels or rewards (n,)."""

BINS = 8
"""Of active values, in histograms of mutual information; silence has one of its own."""
CHUNK = 1024
"""Features that are ranked at once."""


def mean_difference(z: Tensor, y: Tensor) -> Tensor:
    """Mean activation of the positive samples less that of the others.

    `z`: pooled activations, (n, features).
    `y`: labels or rewards, (n,).
    """
    return _both_means(z, y, lambda active: active)


def frequency(z: Tensor, y: Tensor) -> Tensor:
    """Share of the positive samples in which a feature is active, less that of the others.

    Papers count samples; shares are the same for classes of equal size, and stay fair for others.

    `z`: pooled activations, (n, features).
    `y`: labels or rewards, (n,).
    """
    return _both_means(z, y, lambda active: (active > 0).double())


def mutual_information(z: Tensor, y: Tensor) -> Tensor:
    """Mutual information of activation and class in nats, with the sign of the mean difference.

    Each feature's active values fall into log-spaced bins between its smallest and its largest, because activations
    spread over orders of magnitude.

    `z`: pooled activations, (n, features).
    `y`: labels or rewards, (n,).

    Source: Cho et al. 2025 (CorrSteer), arXiv:2508.12535, as an alternative to the correlation.
    """
    z, y = check_samples(z, y)
    positive = positive_samples(y)
    bins = _log_bins(z)
    joint = torch.stack([_histogram(bins[positive]), _histogram(bins[~positive])]) / len(z)
    independent = joint.sum(dim=1, keepdim=True) * joint.sum(dim=0, keepdim=True)
    ratio = torch.where(joint > 0, joint / independent.clamp(min=torch.finfo(torch.float64).tiny), 1)
    return (joint * ratio.log()).sum(dim=(0, 1)) * mean_difference(z, y).sign()


def fisher(z: Tensor, y: Tensor) -> Tensor:
    """Logarithm of the mean squared activation of the positive samples over that of the others.

    One sample is counted on top of each side, as active as the feature's active samples are, so that a feature of one
    lucky sample does not win by an infinite ratio.

    `z`: pooled activations, (n, features).
    `y`: labels or rewards, (n,).

    Source: Cho et al. 2025 (CorrSteer), arXiv:2508.12535, as an alternative to the correlation; without the sample
    on top.
    """
    z, y = check_samples(z, y)
    positive = positive_samples(y)
    squares = z.square()
    typical = squares.sum(dim=0) / (z > 0).sum(dim=0).clamp(min=1)
    above, below = ((squares[side].sum(dim=0) + typical) / (side.sum() + 1) for side in (positive, ~positive))
    return torch.where(typical > 0, (above / below).log(), 0)


def auroc(z: Tensor, y: Tensor) -> Tensor:
    """Area under the ROC curve above chance, -1/2 to 1/2: a positive sample is more active than another; ties half.

    `z`: pooled activations, (n, features).
    `y`: labels or rewards, (n,).

    Source: SAE-A of Wu et al. 2025 (AxBench), arXiv:2501.17148, on max-pooled activations.
    """
    z, y = check_samples(z, y)
    positive = positive_samples(y)
    return torch.cat([_areas(columns, positive) for columns in z.split(CHUNK, dim=1)]) - 0.5


def importance(z: Tensor, y: Tensor) -> Tensor:
    """Weight in an L1 logistic regression on activations of unit root mean square; zero for features left out.

    The penalty is √(n log(features) / 2): what the steepest of so many features reaches when labels are chance.

    `z`: pooled activations, (n, features).
    `y`: labels or rewards, (n,).

    Source: the classifier on sparse features of Kuznetsov et al. 2025, arXiv:2503.03601, who use boosted trees; the
    penalty of Donoho and Johnstone 1994, doi:10.1093/biomet/81.3.425, for a slope of variance n / 4.
    """
    from scipy.sparse import csr_array  # slow to import, as is scikit-learn, and of use here alone
    from sklearn.linear_model import LogisticRegression

    z, y = check_samples(z, y)
    positive = positive_samples(y).cpu().numpy()
    size = z.square().mean(dim=0).sqrt().clamp(min=torch.finfo(torch.float64).tiny)
    penalty = math.sqrt(len(z) * math.log(max(z.shape[1], 2)) / 2)
    model = LogisticRegression(C=1 / penalty, l1_ratio=1.0, solver="liblinear", random_state=0)
    model.fit(csr_array((z / size).cpu().numpy()), positive)
    return torch.from_numpy(model.coef_[0]).to(z.device)


def positive_only(z: Tensor, y: Tensor) -> Tensor:
    """Share of the pairs of a positive sample and another in which a feature is active in the first alone.

    It is near one only for a feature that is active in nearly all positive samples and in nearly none of the others.

    `z`: pooled activations, (n, features).
    `y`: labels or rewards, (n,).

    Source: the sensitivity of He et al. 2025 (SAIF), arXiv:2502.11356, which pairs the same content; over all pairs.
    """
    z, y = check_samples(z, y)
    positive = positive_samples(y)
    active = (z > 0).double()
    return active[positive].mean(dim=0) * (1 - active[~positive].mean(dim=0))


SELECTORS: Mapping[str, Selector] = MappingProxyType(
    {
        "mean_difference": mean_difference,
        "frequency": frequency,
        "pearson": pearson,
        "mutual_information": mutual_information,
        "fisher": fisher,
        "auroc": auroc,
        "importance": importance,
        "positive_only": positive_only,
    }
)
"""The selectors by name."""


def select(z: Tensor, y: Tensor, how: str, k: int) -> list[int]:
    """The features that go with a label or a reward the most, best first.

    Args:
        z: Pooled activations, (n, features).
        y: Labels, or rewards whose good samples are above zero, (n,).
        how: A name of `SELECTORS`.
        k: Most features; there are fewer where fewer have a score above zero.

    Raises:
        DictionaryError: There is no such selector, k is below one, the samples do not serve, or no feature scores.
    """
    if how not in SELECTORS:
        raise DictionaryError(f"no selector {how!r}; choose from {', '.join(sorted(SELECTORS))}")
    if k < 1:
        raise DictionaryError(f"{k} features were asked for; ask for one or more")
    scores = SELECTORS[how](z, y)
    best = scores.argsort(descending=True, stable=True)[:k]
    chosen: list[int] = best[scores[best] > 0].tolist()
    if not chosen:
        raise DictionaryError(
            f"by {how!r} none of {z.shape[1]} features goes with the {int((y > 0).sum())} positive of {len(y)} samples"
        )
    return chosen


def _both_means(z: Tensor, y: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    z, y = check_samples(z, y)
    positive = positive_samples(y)
    return of(z[positive]).mean(dim=0) - of(z[~positive]).mean(dim=0)


def _log_bins(z: Tensor) -> Tensor:
    """Number of each value's bin, (n, features) int64; 0 where silent."""
    logs = z.clamp(min=torch.finfo(torch.float64).tiny).log()
    low = logs.masked_fill(z <= 0, torch.inf).amin(dim=0)
    width = ((logs.amax(dim=0) - low) / BINS).clamp(min=torch.finfo(torch.float64).eps)
    inner = ((logs - low) / width).nan_to_num().clamp(0, BINS - 1).long()
    return torch.where(z > 0, inner + 1, 0)


def _histogram(bins: Tensor) -> Tensor:
    """How many samples are in each bin, (bins, features) float64."""
    return torch.stack([(bins == one).sum(dim=0) for one in range(BINS + 1)]).double()


def _areas(z: Tensor, positive: Tensor) -> Tensor:
    yes, no = z[positive].T.contiguous(), z[~positive].T.sort(dim=1).values.contiguous()
    below = torch.searchsorted(no, yes) + torch.searchsorted(no, yes, right=True)
    return below.double().mean(dim=1) / (2 * no.shape[1])
