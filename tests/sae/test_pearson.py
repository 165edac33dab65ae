"""Correlation in one pass is the correlation."""

import numpy as np
import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.sae import SELECTORS, Correlation

# A reward far from zero with a small spread, as MIDI notes in cents are, is where sums of squares would cancel.
REWARDS = ["labels", "far"]


def sample(reward):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(500, 30, generator=generator, dtype=torch.float64).relu()
    y = (z[:, 3] + torch.randn(500, generator=generator)) if reward == "far" else (z[:, 3] > 0.5).double()
    return z, y + 6000 if reward == "far" else y


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("size", [1, 7, 500])
def test_one_pass_is_the_direct_correlation(reward, size):
    z, y = sample(reward)
    sums = Correlation(30)
    for some, rewards in zip(z.split(size), y.split(size), strict=True):
        sums.add(some, rewards)
    direct = np.corrcoef(np.column_stack([z.numpy(), y.numpy()]), rowvar=False)[-1, :-1]
    assert np.abs(sums.read().numpy() - direct).max() < 1e-12
    assert int(sums.read().argmax()) == 3


def test_the_selector_is_the_same_number():
    z, y = sample("labels")
    sums = Correlation(30)
    sums.add(z, y)
    torch.testing.assert_close(SELECTORS["pearson"](z, y), sums.read(), atol=0, rtol=0)


def test_what_never_varies_correlates_with_nothing():
    sums = Correlation(2)
    sums.add(torch.tensor([[5.0, 1.0], [5.0, 0.0]]), torch.tensor([True, False]))
    assert sums.read().tolist() == pytest.approx([0.0, 1.0])
    same = Correlation(2)
    same.add(torch.tensor([[5.0, 1.0], [5.0, 0.0]]), torch.ones(2))
    assert same.read().tolist() == [0.0, 0.0]


def test_one_sample_has_no_correlation():
    with pytest.raises(DictionaryError, match="0 samples have no correlation"):
        Correlation(3).read()
