"""Several features are one vector."""

import pytest
import torch

from mmsteer.direction_file import load_directions, save_directions
from mmsteer.errors import DictionaryError
from mmsteer.sae import SparseDictionary, combined_direction, feature_direction, natural_strength, usage
from mmsteer.types import Site

SITE = Site("decoder", 2)


def dictionary(site=SITE):
    """Three features of width 2, with rows (2, 0), (0, 3) and (-1, 0)."""
    rows = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    return SparseDictionary(
        torch.eye(2, 3), torch.zeros(3), rows, torch.tensor([1.0, 0.0]), torch.zeros(3),
        site=site, model="m", provenance={"architecture": "by hand"},
    )  # fmt: skip


STATES = torch.tensor([[1.0, -1.0], [3.0, 4.0], [-2.0, 0.0], [0.0, 2.0]])
USED = usage(dictionary(), [STATES])


def test_the_sum_by_hand():
    found = combined_direction(dictionary(), [0, 1], torch.tensor([1.5, 4 / 3]), USED, "note:C")
    assert found.vectors[SITE].tolist() == pytest.approx([0.6, 0.8])
    assert natural_strength(found) == pytest.approx(5.0)
    assert found.name == "note:C"
    assert found.provenance["features"] == "0:1.5, 1:1.33333"
    assert found.provenance["architecture"] == "by hand"
    assert not found.features


def test_one_feature_is_its_own_direction():
    one = combined_direction(dictionary(), [1], torch.tensor([2.0]), USED, "one")
    alone = feature_direction(dictionary(), 1, USED)
    assert torch.equal(one.vectors[SITE], alone.vectors[SITE])
    assert natural_strength(one) == pytest.approx(6.0)
    assert one.stats[SITE].spread == pytest.approx(alone.stats[SITE].spread)
    assert one.stats[SITE].residual_norm == pytest.approx(USED.norm)


def test_the_mean_is_that_of_the_reconstruction():
    found = combined_direction(dictionary(), [0, 1], torch.tensor([1.5, 4 / 3]), USED, "note:C")
    seen = dictionary().reconstruct(STATES) @ found.vectors[SITE]
    assert found.stats[SITE].mean == pytest.approx(float(seen.mean()))


def test_the_strength_is_exact_after_a_file(tmp_path):
    found = combined_direction(dictionary(), [0, 1], torch.tensor([0.1, 0.7]), USED, "note:C")
    save_directions(tmp_path / "one.safetensors", [found])
    assert natural_strength(load_directions(tmp_path / "one.safetensors")["note:C"]) == natural_strength(found)


@pytest.mark.parametrize(
    ("made", "features", "coefficients", "message"),
    [
        (dictionary(site=None), [0], [1.0], "names no site"),
        (dictionary(), [0, 2], [1.0, 2.0], "add up to nothing"),
        (dictionary(), [0, 3], [1.0, 2.0], "features 0 to 2"),
        (dictionary(), [0], [1.0, 2.0], "one each"),
    ],
)
def test_what_cannot_be_combined_is_refused(made, features, coefficients, message):
    with pytest.raises(DictionaryError, match=message):
        combined_direction(made, features, torch.tensor(coefficients), USED, "x")


def test_other_directions_have_no_natural_strength():
    with pytest.raises(DictionaryError, match="'sae:1' has no natural strength"):
        natural_strength(feature_direction(dictionary(), 1, USED))
