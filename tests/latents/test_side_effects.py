"""What steering set right and what it spoiled."""

import json

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.controls import added, random_features, twin
from mmsteer.latents.side_effects import compare, side_effects
from mmsteer.latents.trials import Trials
from mmsteer.sae import Usage, combined_direction, natural_strength
from mmsteer.types import OUTPUT, Positions, Sample
from tests.latents.dictionaries import drawn
from tests.latents.saying import LAST
from tests.steering.seeing import llava

__all__ = ["llava"]


def used(features=6, silent=()):
    density = torch.ones(features)
    density[list(silent)] = 0
    return Usage(torch.ones(features), torch.ones(features), torch.ones(features), density, 1.0, 10)


def test_the_ratio_by_hand():
    found = side_effects([1, 1, 0, -1, 0, None, 1], [0, 1, 1, 1, 0, 1, None])
    assert (found.fixed, found.broken, found.unscored) == (2, 1, 2)
    assert found.ratio == pytest.approx(1 / 3)


@pytest.mark.parametrize("rewards", [[], [1.0, 0.0], [None]])
def test_the_ratio_of_no_change_is_zero(rewards):
    assert side_effects(rewards, rewards).ratio == 0.0


def test_runs_of_other_lengths_are_refused():
    with pytest.raises(DictionaryError, match="2 and 1 outputs"):
        side_effects([1.0, 0.0], [1.0])


def test_a_comparison_by_hand(llava):
    answers = iter([1.0, 1.0, 0.0, None, 0.0, 1.0, 1.0, None])
    trials = Trials("by hand", tuple(Sample(str(i)) for i in range(4)), lambda some: some, lambda _: next(answers))
    found = compare(llava, [trials], {"steered": added([], OUTPUT)})
    plain, steered = found.rows
    assert plain.condition == "unsteered"
    assert plain.change is None
    assert plain.reward.value == pytest.approx(2 / 3)
    assert plain.reward.unscored == 1
    assert steered.change.value == pytest.approx(0.0)
    assert (steered.effects.fixed, steered.effects.broken) == (1, 1)
    assert json.loads(json.dumps(found.table(), allow_nan=False))[1]["side_effect_ratio"] == 0.5


def test_a_random_feature_is_alive_and_another():
    found = random_features(used(silent=[2]), 4, without=[0])
    assert sorted(found) == [1, 3, 4, 5]
    assert random_features(used(), 2, seed=1) == random_features(used(), 2, seed=1)
    with pytest.raises(DictionaryError, match="4 others are ever active"):
        random_features(used(silent=[2]), 5, without=[0])


def test_a_twin_is_as_strong(llava):
    dictionary = drawn(llava, str(LAST))
    one = combined_direction(dictionary, [0, 1], torch.tensor([2.0, 5.0]), used(), "planted:one")
    other = twin(dictionary, one, [0, 1], used())
    assert natural_strength(other) == pytest.approx(natural_strength(one))
    assert "0:" not in other.provenance["features"].split(", ")
    assert not torch.allclose(one.vectors[LAST], other.vectors[LAST])


def test_directions_are_added_with_their_strength(llava):
    one = combined_direction(drawn(llava, str(LAST)), [3], torch.tensor([2.0]), used(), "planted:one")
    [attribute] = added([one], Positions("generated"), 1.5).attributes
    assert attribute.strength == pytest.approx(3.0)
    assert attribute.unit == "absolute"
    assert str(attribute.positions) == "generated"
