"""A sweep finds the feature of a word in one archetype, and tells what clamping it costs."""

from dataclasses import replace

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.clamping import archetype_features, clamp_sweep, clamped
from mmsteer.latents.controls import random_features
from mmsteer.latents.pooling import pooled
from mmsteer.sae import Usage
from mmsteer.types import OUTPUT, Positions, Sample
from tests.latents.saying import LAST, common_word, dictionary, saying
from tests.steering.seeing import llava, picture

__all__ = ["llava"]

ARCHETYPE = Sample("archetype", "describe the image", (picture(0),), "a cup there table image shows the cup")


@pytest.fixture(scope="module")
def word(llava):
    return common_word(llava)


@pytest.fixture(scope="module")
def planted(llava, word):
    return dictionary(llava, word, noise=12)


def test_archetype_features_by_hand(llava, planted):
    counts = pooled(llava, planted, [ARCHETYPE], positions=Positions("generated"), pool="count").z[0]
    expected = [one for one in counts.argsort(descending=True, stable=True).tolist() if counts[one] >= 3]
    assert archetype_features(llava, planted, ARCHETYPE, tokens=3) == expected
    with pytest.raises(DictionaryError, match="no feature is active at 99 tokens of 'archetype'"):
        archetype_features(llava, planted, ARCHETYPE, tokens=99)


def test_a_clamp_is_in_units_of_the_activation(llava, planted):
    longer = replace(planted, decoder=planted.decoder * 2)
    used = Usage(*(torch.full((13,), value) for value in (1.0, 1.0, 5.0, 0.5)), 1.0, 10)
    one = clamped(longer, used, 0, 0.5)
    [attribute] = one.steering().attributes
    assert one.value == 2.5
    assert attribute.strength == pytest.approx(5.0)
    assert (attribute.operator, attribute.unit) == ("clamp", "absolute")


def test_the_word_is_found_and_the_damage_is_told(llava, word, planted):
    wide = replace(planted, encoder_bias=torch.where(torch.arange(13) == 0, 10.0, planted.encoder_bias))
    used = pooled(llava, wide, [ARCHETYPE], positions=OUTPUT).used
    other = next(one for one in ("cup", "the", "image") if one != word)
    found = clamp_sweep(
        llava, wide, used, ARCHETYPE, saying(llava, word, 16), saying(llava, word, 16, 100),
        [replace(saying(llava, other, 16, 200), name="unrelated")], multiples=(2.0, 1.0), candidates=4,
    )  # fmt: skip
    assert found.chosen.feature == 0
    assert found.chosen.direction.sites == (LAST,)
    assert len(found.candidates) <= 4
    others = random_features(used, len(found.candidates), without=found.candidates)
    for name, some in (("clamped", found.candidates), ("random feature", others)):
        # The control is searched as hard: the best of as many features, at the best of as many values.
        assert (len(found.sweep.validation[name]), len(found.grid.validation[name])) == (len(some), 2)
        assert max(found.sweep.validation[name]) == found.sweep.validation[name][found.sweep.chosen[name]]
    assert found.control.feature == others[found.sweep.chosen["random feature"]]
    multiple = (2.0, 1.0)[found.grid.chosen["random feature"]]
    assert found.control.value == pytest.approx(multiple * float(used.maximum[found.control.feature]))
    rewards = {(row.trials, row.condition): row.reward.value for row in found.damage.rows}
    assert rewards[f"say {word}", "clamped"] > 0.9
    assert rewards[f"say {word}", "random feature"] < rewards[f"say {word}", "clamped"]
    # A model that says nothing but the word is right about no other.
    assert rewards["unrelated", "clamped"] == 0.0 < rewards["unrelated", "unsteered"]


def test_no_value_is_refused(llava, word, planted):
    used = Usage(*(torch.ones(13) for _ in range(4)), 1.0, 10)
    trials = saying(llava, word, 2)
    with pytest.raises(DictionaryError, match="0 multiples make no sweep"):
        clamp_sweep(llava, planted, used, ARCHETYPE, trials, trials, [], multiples=())
