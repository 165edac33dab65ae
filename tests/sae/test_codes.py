"""Sparse products against dense ones."""

import torch
from torch.testing import assert_close

from mmsteer.sae.codes import Codes, chosen


def test_values_and_gradients_are_those_of_the_dense_computation():
    torch.manual_seed(0)
    x = torch.randn(10, 5, dtype=torch.float64)
    weights = [torch.randn(*shape, dtype=torch.float64) for shape in ((12, 5), (12,), (12, 5))]
    sparse, dense = ([w.clone().requires_grad_() for w in weights] for _ in range(2))
    a = x @ weights[0].T + weights[1]
    columns = a.topk(4, dim=1).indices.flatten()
    codes = chosen(x, sparse[0], sparse[1], a, columns, torch.full((10,), 4))
    codes.decode(sparse[2]).sub(x).square().sum().backward()
    full = x @ dense[0].T + dense[1]
    mask = torch.zeros_like(full).scatter(1, columns.reshape(10, 4), 1.0)
    z = full.relu() * mask
    (z @ dense[2]).sub(x).square().sum().backward()
    for one, other in zip(sparse, dense, strict=True):
        assert_close(one.grad, other.grad)
    assert_close(codes.fired(12), (z > 0).sum(dim=0))


def test_parts_by_hand():
    codes = Codes(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 3, 2]), torch.tensor([2, 0, 1]))
    part = codes.below(3, 1)
    assert (part.values.tolist(), part.columns.tolist(), part.counts.tolist()) == ([3.0], [2], [0, 0, 1])
    decoder = torch.eye(4)
    assert codes.decode(decoder).tolist() == [[1, 0, 0, 2], [0, 0, 0, 0], [0, 0, 3, 0]]
    assert codes.rows.tolist() == [0, 0, 2]
