"""Features as directions, and the natural scale of their activations."""

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.sae import SparseDictionary, feature_direction, usage, with_thresholds
from mmsteer.types import Site

SITE = Site("decoder", 2)


def dictionary(k=None, site=SITE, threshold=0.0):
    """Two features of width 2: the coordinates, with decoder rows of length 2 and 3."""
    return SparseDictionary(
        torch.eye(2), torch.zeros(2), torch.diag(torch.tensor([2.0, 3.0])), torch.zeros(2), torch.full((2,), threshold),
        k=k, site=site, model="m",
    )  # fmt: skip


STATES = torch.tensor([[1.0, -1.0], [3.0, 4.0], [-2.0, 0.0], [0.0, 2.0]])


def test_use_by_hand_in_pieces():
    found = usage(dictionary(), STATES.split(3))
    torch.testing.assert_close(found.mean, torch.tensor([1.0, 1.5]))
    torch.testing.assert_close(found.spread, torch.tensor([1.5**0.5, 2.75**0.5]))
    assert found.maximum.tolist() == [3.0, 4.0]
    assert found.density.tolist() == [0.5, 0.5]
    assert found.norm == pytest.approx(2, rel=0.006)  # of 1.41, 5, 2 and 2
    assert found.norms.high == pytest.approx(5, rel=0.006)
    assert found.norms.tokens == 4
    assert found.rows == 4


def test_nothing_has_no_use():
    with pytest.raises(DictionaryError, match="no hidden states"):
        usage(dictionary(), [])


def test_a_direction_reads_in_units_of_its_unit_row():
    one = feature_direction(dictionary(), 1, usage(dictionary(), [STATES]))
    assert one.name == "sae:1"
    assert one.vectors[SITE].tolist() == [0.0, 1.0]
    assert one.features[SITE].read(STATES).squeeze(-1).tolist() == [0.0, 12.0, 0.0, 6.0]
    assert one.stats[SITE].mean == pytest.approx(4.5)


@pytest.mark.parametrize(
    ("made", "feature", "message"),
    [
        (dictionary(k=1), 0, "keeps the 1 largest"),
        (dictionary(site=None), 0, "names no site"),
        (dictionary(), 2, "no feature 2"),
    ],
)
def test_what_cannot_be_a_direction_is_refused(made, feature, message):
    with pytest.raises(DictionaryError, match=message):
        feature_direction(made, feature, usage(made, [STATES]))


def test_thresholds_let_as_many_through_as_the_k_largest():
    states = torch.randn(500, 24, generator=torch.Generator().manual_seed(0))
    encoder = torch.randn(24, 64, generator=torch.Generator().manual_seed(1))
    one = SparseDictionary(encoder, torch.zeros(64), encoder.T.contiguous(), torch.zeros(24), torch.zeros(64), k=6)
    found = with_thresholds(one, states.split(100))
    assert found.k is None
    assert int((found.encode(states) > 0).sum()) == 500 * 6


def test_a_dictionary_with_thresholds_stays():
    one = dictionary()
    assert with_thresholds(one, [STATES]) is one
