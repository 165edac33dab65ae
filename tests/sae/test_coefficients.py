"""Coefficients, by hand."""

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.sae import COEFFICIENTS
from mmsteer.sae.coefficients import maximum, mean_difference, mean_plus_spread

# Feature 0 plays no part; feature 1 is 2 and 4 in positives, 6 and 0 in the others; feature 2 is 1, 1; 0, 0.
Z = torch.tensor([[9.0, 2.0, 1.0], [9.0, 4.0, 1.0], [9.0, 6.0, 0.0], [9.0, 0.0, 0.0]])
Y = torch.tensor([True, True, False, False])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("maximum", [1.0, 6.0]),
        ("positive_mean", [1.0, 3.0]),
        ("mean_plus_spread", [1.0, 4.0]),
        ("mean_difference", [0.5, 0.0]),
    ],
)
def test_each_rule_by_hand(name, expected):
    found = COEFFICIENTS[name](Z, Y, [2, 1])
    assert found.tolist() == pytest.approx(expected)
    rewards = torch.where(Y, 0.5, -3.0)
    assert COEFFICIENTS[name](Z, rewards, [2, 1]).tolist() == pytest.approx(expected)


def test_factors():
    assert maximum(Z, Y, [1], alpha=0.5).tolist() == [3.0]
    assert mean_plus_spread(Z, Y, [1], beta=-2.0).tolist() == [1.0]
    assert mean_difference(Z, Y, [2], alpha=3.0).tolist() == [1.5]


def test_a_maximum_needs_no_positive_sample():
    assert maximum(Z, torch.zeros(4), [0]).tolist() == [9.0]


@pytest.mark.parametrize(
    ("y", "features", "message"),
    [(torch.zeros(4), [0], "none of 4 samples is positive"), (Y, [], "are not some of the 3"), (Y, [3], "the 3 whose")],
)
def test_what_cannot_be_measured_is_refused(y, features, message):
    with pytest.raises(DictionaryError, match=message):
        COEFFICIENTS["positive_mean"](Z, y, features)
