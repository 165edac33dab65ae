"""Every selector finds the feature that goes with the label, and nothing where labels say nothing."""

import math

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.sae import SELECTORS, select
from mmsteer.sae.selectors import auroc, fisher, frequency, mean_difference, mutual_information, positive_only

SAMPLES, FEATURES, PLANTED, REVERSED, DEAD = 200, 64, 17, 23, 40

# One feature, positives first: activations 0, 2, 4, 6 against 0, 0, 2, 2.
Z = torch.tensor([[0.0], [2.0], [4.0], [6.0], [0.0], [0.0], [2.0], [2.0]])
Y = torch.tensor([True] * 4 + [False] * 4)


def sample(seed=0, samples=SAMPLES):
    """Sparse noise in which one feature is active with the label, one without it, and one never."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(samples, FEATURES, generator=generator).exp()
    z = noise * (torch.rand(samples, FEATURES, generator=generator) < 0.3)
    y = torch.arange(samples) % 2 == 0
    strong = 3 + torch.rand(samples, generator=generator)
    kept = torch.rand(samples, generator=generator) < 0.95
    z[:, PLANTED] = strong * (y & kept)
    z[:, REVERSED] = strong * (~y & kept)
    z[:, DEAD] = 0.0
    return z, y


@pytest.mark.parametrize("how", SELECTORS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_planted_feature_comes_first(how, scale):
    z, y = sample()
    scores = SELECTORS[how](z * scale, y)
    assert scores.shape == (FEATURES,)
    assert scores.dtype == torch.float64
    assert torch.isfinite(scores).all()
    assert int(scores.argmax()) == PLANTED
    assert select(z * scale, y, how, 1) == [PLANTED]


@pytest.mark.parametrize("how", SELECTORS)
def test_what_goes_against_the_label_scores_least_and_silence_nothing(how):
    z, y = sample()
    scores = SELECTORS[how](z, y)
    assert scores[REVERSED] <= 0 or how == "positive_only"
    assert scores[REVERSED] <= 0.05
    assert scores[DEAD] == 0
    assert DEAD not in select(z, y, how, FEATURES)


@pytest.mark.parametrize("how", SELECTORS)
def test_shuffled_labels_find_nothing_above_chance(how):
    z, y = sample()
    truth = float(SELECTORS[how](z, y)[PLANTED])
    found, best = [], []
    for seed in range(10):
        order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(seed))
        scores = SELECTORS[how](z, y[order])
        best.append(float(scores.max()))
        found.append(int(scores.argmax()) == PLANTED)
    assert max(best) < 0.75 * truth
    # By chance the planted feature, which has the largest spread, comes first now and then.
    assert sum(found) <= 5


@pytest.mark.parametrize("how", sorted(SELECTORS.keys() - {"pearson"}))
def test_rewards_above_zero_are_positive_samples(how):
    z, y = sample()
    rewards = torch.where(y, 2.0, -1.0)
    torch.testing.assert_close(SELECTORS[how](z, rewards), SELECTORS[how](z, y))


def test_by_hand():
    assert mean_difference(Z, Y).item() == pytest.approx(2.0)
    assert frequency(Z, Y).item() == pytest.approx(0.25)
    # 16 pairs: 0 ties two and loses two; 2 beats two and ties two; 4 and 6 beat all.
    assert auroc(Z, Y).item() == pytest.approx((2 * 0.5 + 2 + 2 * 0.5 + 4 + 4) / 16 - 0.5)
    # Mean square of the active ones: (4 + 16 + 36 + 4 + 4) / 5 = 12.8.
    assert fisher(Z, Y).item() == pytest.approx(math.log((56 + 12.8) / (8 + 12.8)))
    assert positive_only(Z, Y).item() == pytest.approx(0.75 * 0.5)


def test_mutual_information_by_hand():
    # Silence: 1 of 4 and 2 of 4; the lowest bin (2): 1 and 2; a middle and the highest bin: 1 and 0 each.
    cells = [(1, 2), (1, 2), (1, 0), (1, 0)]
    nats = sum(n / 8 * math.log((n / 8) / (0.5 * sum(cell) / 8)) for cell in cells for n in cell if n)
    assert mutual_information(Z, Y).item() == pytest.approx(nats)
    # One bit less nothing: a feature that is the label.
    assert mutual_information(Y[:, None].float(), Y).item() == pytest.approx(math.log(2))


def test_auroc_agrees_with_scikit_learn():
    from sklearn.metrics import roc_auc_score

    z, y = sample()
    expected = [roc_auc_score(y, column) - 0.5 for column in z.T]
    torch.testing.assert_close(auroc(z, y), torch.tensor(expected, dtype=torch.float64))


def test_features_in_chunks_are_the_same_features(monkeypatch):
    z, y = sample()
    whole = auroc(z, y)
    monkeypatch.setattr("mmsteer.sae.selectors.CHUNK", 7)
    torch.testing.assert_close(auroc(z, y), whole)


def test_the_best_come_first_and_only_those_above_zero():
    z = torch.tensor([[2.0, 3.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    assert select(z, torch.tensor([1, 0]), "mean_difference", 4) == [1, 0]
    assert select(z, torch.tensor([1, 0]), "mean_difference", 1) == [1]


@pytest.mark.parametrize(
    ("z", "y", "how", "k", "message"),
    [
        (Z, Y, "guess", 1, "no selector 'guess'; choose from auroc"),
        (Z, Y, "auroc", 0, "ask for one or more"),
        (Z, torch.ones(8), "auroc", 1, "8 of 8 samples are positive"),
        (Z, torch.zeros(8), "importance", 1, "0 of 8 samples are positive"),
        (Z, Y[:3], "auroc", 1, r"\(8, 1\) and labels \(3,\)"),
        (Z[:1], Y[:1], "pearson", 1, "two samples"),
        (Z * torch.nan, Y, "auroc", 1, "not finite"),
        (Z, ~Y, "auroc", 1, "none of 1 features goes with the 4 positive of 8 samples"),
    ],
)
def test_what_cannot_be_selected_is_refused(z, y, how, k, message):
    with pytest.raises(DictionaryError, match=message):
        select(z, y, how, k)
