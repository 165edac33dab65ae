"""CorrSteer finds the feature of a word that is rewarded, and steering it makes the model say the word."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mmsteer.errors import DictionaryError
from mmsteer.latents.controls import controls
from mmsteer.latents.corrsteer import run_corrsteer
from mmsteer.latents.trials import Trials, sampled
from mmsteer.sae import natural_strength
from mmsteer.steering import Steering
from mmsteer.types import OUTPUT, Positions, Sample, Sampling, Site
from tests.latents.dictionaries import clips, drawn
from tests.latents.saying import LAST, common_word, dictionary, saying
from tests.steering.seeing import llava

__all__ = ["llava"]


READ = Positions("last")
"""The state that says the word; that of the word itself would give it away."""


@pytest.fixture(scope="module")
def word(llava):
    return common_word(llava)


@pytest.fixture(scope="module")
def planted(llava, word):
    return dictionary(llava, word)


def test_one_feature_is_found_and_it_works(llava, word, planted):
    test = saying(llava, word, 24, 100)
    found = run_corrsteer(llava, [planted], saying(llava, word, 48), variant="S", read=READ, test=[test], multiple=3.0)
    [one] = found.kept
    assert (one.site, one.feature) == (LAST, 0)
    assert one.correlation > 0.6
    assert natural_strength(one.direction) == pytest.approx(one.coefficient)
    [attribute] = found.steering().attributes
    assert attribute.strength == pytest.approx(3 * one.coefficient)
    rewards = {row.condition: row.reward.value for row in found.comparison.rows}
    assert rewards["unsteered"] < 0.5
    assert rewards["steered"] > 0.9
    assert rewards["random features"] < 0.5
    assert rewards["random direction"] < rewards["steered"] - 0.1
    effects = found.comparison.rows[1].effects
    assert effects.fixed > 0
    assert effects.ratio == 0.0


def test_every_layer_or_those_that_help(llava, word, planted):
    noise = drawn(llava, "text.0", features=8)
    training, validation = saying(llava, word), saying(llava, word, 24, 100)
    everything = run_corrsteer(llava, [noise, planted], training, read=READ)
    assert [one.site for one in everything.kept] == [Site("text", 0), LAST]
    assert [one.sites for one in everything.directions] == [(Site("text", 0),), (LAST,)]
    pruned = run_corrsteer(llava, [noise, planted], training, variant="P", read=READ, validation=validation)
    changes = {one.site: one.change for one in pruned.candidates}
    assert changes.keys() == {Site("text", 0), LAST}
    assert [one.site for one in pruned.kept] == [site for site in changes if changes[site] > 0]
    assert changes[LAST] > 0
    best = max(everything.kept, key=lambda one: one.correlation)
    [single] = run_corrsteer(llava, [noise, planted], training, variant="S", read=READ).kept
    assert (single.site, single.feature) == (best.site, best.feature)


def test_validation_keeps_of_the_controls_what_helps_as_well(llava, word, planted):
    noise = [drawn(llava, f"text.{layer}", features=8) for layer in (0, 1)]
    validation, test = saying(llava, word, 24, 100), saying(llava, word, 24, 200)
    found = run_corrsteer(
        llava, [*noise, planted], saying(llava, word), variant="P", read=READ, validation=validation, test=[test],
        multiple=3.0,
    )  # fmt: skip
    plain = np.mean(validation.run(llava).rewards)
    rows = {row.condition: row.rewards for row in found.comparison.rows}
    directions, twins = zip(*((one.direction, one.control) for one in found.candidates), strict=True)
    left_out = 0
    for name, some in controls(directions, twins, OUTPUT, 3.0).items():
        kept = [one for one in some.attributes if np.mean(validation.run(llava, Steering((one,))).rewards) > plain]
        assert rows[name] == test.run(llava, Steering(tuple(kept))).rewards
        left_out += rows[name] != test.run(llava, some).rewards
    assert left_out > 0


def test_nothing_is_kept_where_nothing_helps(llava, word, planted):
    never = Trials("never", saying(llava, word).prompts, saying(llava, word).generate, lambda _: 0.0)
    found = run_corrsteer(llava, [planted], saying(llava, word), variant="P", validation=never, test=[never])
    assert found.kept == ()
    assert found.comparison is None
    assert str(found.steering()) == "unsteered"


def test_the_table_is_plain(llava, word, planted):
    found = run_corrsteer(llava, [planted], saying(llava, word))
    [row] = json.loads(json.dumps(found.table(), allow_nan=False))
    assert row["site"] == "text.2"
    assert row["kept"] is True
    assert row["validation_change"] is None


def test_a_model_that_plays_learns_from_its_clips(musicgen):
    # An untrained codec hears no difference between what it plays, so that is replaced by noise.
    noise = {one.id: one for one in clips(4, samples=3200)}
    played = sampled(musicgen, Sampling(seconds=0.2))

    def generate(prompts):
        return [replace(one, output=noise[one.id].output) for one in played(prompts)]

    prompts = tuple(replace(one, output=None) for one in noise.values())
    trials = Trials("even", prompts, generate, lambda sample: float(int(sample.id[-1]) % 2 == 0))
    read = Positions("generated & 3..7steps")
    found = run_corrsteer(musicgen, [drawn(musicgen, "decoder.1", features=12)], trials, read=read)
    assert found.rewards.value == 0.5
    assert [one.site for one in found.kept] == [Site("decoder", 1)]
    again = trials.run(musicgen, found.steering())
    assert again.rewards == (1.0, 0.0, 1.0, 0.0)


def test_a_prompt_has_noise_of_its_own(musicgen):
    prompts = [Sample(f"{one}", "a slow piano melody") for one in range(3)]
    together = sampled(musicgen, Sampling(seconds=0.2))(prompts)
    alone = sampled(musicgen, Sampling(seconds=0.2))(prompts[2:])
    np.testing.assert_allclose(together[2].output, alone[0].output, atol=1e-4)
    assert np.abs(together[1].output - together[2].output).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "P"}, "'P' without validation prompts"),
        ({"variant": "B"}, "'B' without validation prompts; choose S or A"),
    ],
)
def test_variants_that_do_not_fit_are_refused(llava, planted, word, options, message):
    with pytest.raises(DictionaryError, match=message):
        run_corrsteer(llava, [planted], saying(llava, word), **options)


def test_rewards_that_are_all_alike_are_refused(llava, planted, word):
    always = Trials("always", saying(llava, word).prompts, saying(llava, word).generate, lambda _: 1.0)
    with pytest.raises(DictionaryError, match="always: no feature's activation goes with the reward of 24 outputs"):
        run_corrsteer(llava, [planted], always)
