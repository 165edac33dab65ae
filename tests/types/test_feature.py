"""Reading one feature of a dictionary, by hand."""

import pytest
import torch

from mmsteer.errors import DirectionError
from mmsteer.types import Feature


def test_an_activation_is_the_affine_reading_where_it_passes_the_threshold():
    feature = Feature(torch.tensor([1.0, -2.0]), 0.5, 1.0)
    h = torch.tensor([[1.0, 0.0], [0.4, 0.0], [0.5, 0.0], [3.0, 1.0]])
    assert feature.read(h).squeeze(-1).tolist() == [1.5, 0.0, 0.0, 1.5]


def test_a_threshold_below_zero_does_not_let_negative_activations_through():
    assert Feature(torch.ones(1), 0.0, -5.0).read(torch.tensor([[-1.0], [2.0]])).squeeze(-1).tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    ("encoder", "bias", "threshold"),
    [
        (torch.ones(2, 2), 0.0, 0.0),
        (torch.tensor([1.0, float("nan")]), 0.0, 0.0),
        (torch.ones(2, dtype=torch.int64), 0.0, 0.0),
        (torch.ones(2), float("nan"), 0.0),
        (torch.ones(2), 0.0, float("inf")),
    ],
)
def test_what_cannot_be_read_is_refused(encoder, bias, threshold):
    with pytest.raises(DirectionError, match=r"encoder of a feature is|cannot be read"):
        Feature(encoder, bias, threshold)


def test_a_feature_moves_to_the_type_of_the_state():
    moved = Feature(torch.ones(2), 0.5, 0.0).beside(torch.zeros(1, dtype=torch.float64))
    assert moved.encoder.dtype == torch.float64
    assert (moved.bias, moved.threshold) == (0.5, 0.0)
