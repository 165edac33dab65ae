"""Lengths of sums of pushes, known without making the sums."""

import pytest
import torch

from mmsteer.steering import ratios
from mmsteer.steering.ratios import push_lengths

LAYERS, STEPS, ROWS, COLUMNS, WIDTH = 3, 5, 4, 6, 16


@pytest.mark.parametrize("layers", [1, LAYERS])
@pytest.mark.parametrize("at_once", [1, 2**23])
def test_lengths_are_those_of_the_sums(layers, at_once, monkeypatch):
    monkeypatch.setattr(ratios, "_AT_ONCE", at_once)
    draws = torch.Generator().manual_seed(0)
    table = torch.randn(layers, STEPS, ROWS, COLUMNS, generator=draws)
    # Rows of none, one, two and all columns, and a column that rests at some steps.
    for row, used in enumerate(([], [4], [0, 3], range(COLUMNS))):
        table[:, :, row, [one for one in range(COLUMNS) if one not in used]] = 0
    table[:, 1:3, :, 3] = 0
    vectors = torch.randn(LAYERS, COLUMNS, WIDTH, generator=draws)
    sums = torch.einsum("lsrc,lcw->lsrw", table.expand(LAYERS, -1, -1, -1), vectors)
    found = push_lengths(table, vectors)
    torch.testing.assert_close(found.float(), sums.norm(dim=-1))
    assert not found[:, :, 0].any()


@pytest.mark.parametrize("seed", range(20))
def test_pushes_that_cancel_have_no_length(seed):
    vector = torch.randn(1, 1, WIDTH, generator=torch.Generator().manual_seed(seed))
    table = torch.tensor([0.1, 0.3]).reshape(1, 1, 1, 2)
    assert not push_lengths(table, torch.cat([vector, -vector / 3], dim=1)).any()
    # A thousandth of a push is left.
    left = push_lengths(table, torch.cat([vector, -vector / 3 * 1.001], dim=1))
    torch.testing.assert_close(left.flatten().float(), 1e-4 * vector.norm(dim=-1).flatten(), rtol=1e-3, atol=0)
