"""Quality by hand."""

from dataclasses import replace

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.sae import measure
from tests.sae.test_dictionary import hand


def test_by_hand():
    # Features x and y of a state reconstruct it; the third is silent. Ten states; y is active in one of them.
    eye = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    silent = torch.tensor([0.0, 0.0, -1.0])
    zeros = torch.zeros(2)
    dictionary = replace(hand(), encoder=eye, decoder=eye.T.contiguous(), encoder_bias=silent, decoder_bias=zeros)
    x = torch.zeros(10, 2)
    x[:, 0] = torch.arange(10.0)
    x[0, 1] = 5.0
    x[9, 1] = -3.0  # cannot be reconstructed: 9 is missed
    found = measure(dictionary, [x[:4], x[4:]])
    variance = float(((x - x.mean(dim=0)) ** 2).sum())
    assert found.fvu == pytest.approx(9 / variance)
    assert found.l0 == pytest.approx(1.0)  # nine times x, once y
    assert (found.dead, found.dense, found.rows) == (pytest.approx(1 / 3), pytest.approx(1 / 3), 10)
    assert str(found) == f"FVU {9 / variance:.3f}  L0 1.0  dead 33.3%  dense 33.3%"


def test_the_mean_far_away_is_no_variance():
    x = 1000 + torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    flat = replace(hand(), encoder=torch.zeros(2, 3), decoder_bias=x.mean(dim=0))
    # float32 holds 1000 to 6e-5; a variance about zero would give 1e-6.
    assert measure(flat, [x]).fvu == pytest.approx(1.0, rel=1e-2)


def test_nothing_to_explain():
    with pytest.raises(DictionaryError, match="nothing to explain"):
        measure(hand(), [torch.ones(5, 2)])
    with pytest.raises(DictionaryError, match="0 hidden states"):
        measure(hand(), [])
