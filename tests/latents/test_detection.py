"""Detectors on planted features: found, judged by hand, and no better than chance on shuffled labels."""

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.detection import (
    BASELINES,
    DETECTORS,
    auc_interval,
    compare_detectors,
    detect,
    macro_f1,
    single,
    trees,
)

FIT = {name: fit for name, fit in DETECTORS.items() if name != "xgboost"} | dict(BASELINES)


def planted(n=300, features=60, seed=0):
    """Sparse activations; feature 7 goes with the label, feature 11 against it."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.rand(n, generator=generator) < 0.4
    z = torch.rand(n, features, generator=generator) * (torch.rand(n, features, generator=generator) < 0.2)
    z[:, 7] = torch.rand(n, generator=generator) + 0.9 * y
    z[:, 11] = torch.where(y, 0.7, 1.0) * torch.rand(n, generator=generator)
    return z, y


@pytest.mark.parametrize("name", FIT)
def test_a_planted_feature_is_found(name):
    train, test = planted(), planted(seed=1)
    found = detect(FIT[name], train, test)
    assert found.auc > 0.9
    assert found.low < found.auc < found.high
    assert found.macro_f1 > 0.8
    assert (found.n, found.positives) == (300, int(test[1].sum()))
    assert found.features[0] == 7
    # Labels that say nothing teach nothing.
    shuffled = train[0], train[1][torch.randperm(300, generator=torch.Generator().manual_seed(2))]
    assert 0.2 < detect(FIT[name], shuffled, test).auc < 0.8


def test_the_best_cut_by_hand():
    # Taken for positive where above 3: hits 2 of 3, one true negative lost. F1 of yes 2·2/(3+3), of no 2·2/(3+3).
    z = torch.tensor([[1.0], [2.0], [2.5], [4.0], [5.0], [6.0]])
    y = torch.tensor([False, True, False, True, False, True])
    found = single(z, y)
    assert found.threshold == pytest.approx(3.25)
    assert macro_f1(found.score(z) > found.threshold, y) == pytest.approx(2 / 3)


def test_a_feature_that_is_silent_where_something_is_so():
    y = torch.tensor([True] * 5 + [False] * 5)
    z = torch.stack([torch.rand(10, generator=torch.Generator().manual_seed(0)), (~y).float() * 2], dim=1)
    found = single(z, y)
    assert found.features == ((1, -1.0),)
    assert found.threshold == -1.0
    assert macro_f1(found.score(z) > found.threshold, y) == 1


def test_equal_values_cannot_be_cut():
    # Half of the positive samples share the value of the others: no cut divides them.
    y = torch.tensor([True, True, False, False])
    z = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    assert single(z, y).threshold == 0.5
    assert macro_f1(torch.tensor([True, False, False, False]), y) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_an_interval_narrows_with_samples():
    z, y = planted(2000)
    few, many = (auc_interval(z[:n, 7], y[:n], 0) for n in (60, 2000))
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])


def test_trees_see_what_no_line_does():
    generator = torch.Generator().manual_seed(0)
    z = torch.rand(600, 6, generator=generator)
    y = (z[:, 2] > 0.5) ^ (z[:, 4] > 0.5)
    assert detect(trees, (z[:400], y[:400]), (z[400:], y[400:])).auc > 0.9
    assert detect(FIT["logistic probe"], (z[:400], y[:400]), (z[400:], y[400:])).auc < 0.7
    assert {feature for feature, _ in trees(z, y).features[:2]} == {2, 4}


def test_features_stand_beside_states():
    train, test = planted(), planted(seed=1)
    states = train[0] @ torch.eye(60)[:, :20], test[0] @ torch.eye(60)[:, :20]
    rows = compare_detectors((train[0], test[0]), states, train[1], test[1], names=("single",))
    assert [(row.detector, row.inputs) for row in rows] == [
        ("single", "features"),
        ("logistic probe", "states"),
        ("mean difference", "states"),
    ]
    assert rows[1].features == ()


def test_refusals():
    z, y = planted()
    with pytest.raises(DictionaryError, match=r"no detector \['forest'\]; choose from single"):
        compare_detectors((z, z), (z, z), y, y, names=("forest",))
    with pytest.raises(DictionaryError, match="0 of 300 samples are positive"):
        detect(single, (z, torch.zeros(300)), (z, y))


def test_xgboost_itself():
    pytest.importorskip("xgboost", reason="xgboost is not installed")
    train, test = planted(), planted(seed=1)
    assert detect(DETECTORS["xgboost"], train, test).features[0] == 7


def test_xgboost_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "xgboost", None)
    with pytest.raises(DictionaryError, match="pip install xgboost"):
        detect(DETECTORS["xgboost"], planted(), planted())
