import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from mmsteer.probes.metrics import auc, column_scores, r2, score
from mmsteer.probes.targets import encode


@pytest.mark.parametrize("levels", [3, 1000])
def test_auc_is_that_of_scikit_learn_ties_included(levels):
    g = torch.Generator().manual_seed(0)
    scores = torch.randint(levels, (200,), generator=g).float()
    positive = (torch.rand(200, generator=g) < 0.3).float()
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


def test_auc_by_hand():
    # Pairs (positive, negative): (2, 1) right, (2, 2) tied, (3, 1) and (3, 2) right: 3.5 of 4.
    assert auc(torch.tensor([1.0, 2, 2, 3]), torch.tensor([0, 0, 1, 1])) == 0.875


def test_r2_is_that_of_scikit_learn():
    g = torch.Generator().manual_seed(0)
    scores, values = torch.randn(2, 50, generator=g)
    assert r2(scores, values) == pytest.approx(r2_score(values, scores))


def test_accuracy_counts_the_largest_column():
    g = torch.Generator().manual_seed(0)
    y, scores, rows = torch.arange(60) % 3, torch.randn(20, 3, generator=g), torch.arange(10, 30)
    targets = encode(y, "multiclass")
    assert score(scores, targets, rows) == pytest.approx(accuracy_score(y[rows], scores.argmax(dim=1)))
    assert column_scores(scores, targets, rows)[1] == pytest.approx(roc_auc_score(y[rows] == 1, scores[:, 1]))
