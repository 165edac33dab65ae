"""LF-Steering takes the layer that tells, and moves the features that tell wherever they are active."""

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.lf import run_lf
from mmsteer.latents.trials import Trials
from mmsteer.types import Positions, Site
from tests.latents.dictionaries import drawn
from tests.latents.test_saif import INSTRUCTED, PLAIN, SIDES, SITE, dictionary
from tests.steering.seeing import llava, states

__all__ = ["dictionary", "llava"]

READ = Positions("last")


def test_the_features_that_tell_are_moved(llava, dictionary):
    found = run_lf(llava, [dictionary], INSTRUCTED, PLAIN, k=2, alpha=2.0, positions=READ)
    assert sorted(found.features) == [0, 2]
    assert found.scores.keys() == {SITE}
    z = torch.cat([dictionary.encode(_last(llava, side)) for side in SIDES])
    expected = 2.0 * (z[: len(INSTRUCTED)].mean(dim=0) - z.mean(dim=0))
    biases = dict(zip(found.features, found.biases, strict=True))
    assert biases[0] == pytest.approx(float(expected[0]), rel=1e-4)
    assert biases[0] > 0 > biases[2] == pytest.approx(float(expected[2]), rel=1e-4)
    assert {row["feature"] for row in found.table()} == {0, 2}


def test_only_what_is_active_moves(llava, dictionary):
    seen = []

    def generate(prompts):
        seen.append(_last(llava, prompts))
        return prompts

    trials = Trials("seen", tuple(PLAIN), generate, lambda _: 1.0)
    found = run_lf(llava, [dictionary], INSTRUCTED, PLAIN, k=2, positions=READ, test=[trials])
    before, after, _ = seen
    z = dictionary.encode(before)
    assert (z[:, 0] == 0).all()
    assert (z[:, 2] > 0).all()
    # Feature 0 is silent in these prompts, so that only the other's bias is added.
    expected = found.biases[found.features.index(2)] * dictionary.decoder[2]
    torch.testing.assert_close(after - before, expected.expand_as(before), rtol=1e-3, atol=1e-6)
    assert [row.condition for row in found.comparison.rows] == ["unsteered", "steered", "random features"]


def test_the_layer_that_tells_is_taken(llava, dictionary):
    # The pictures are the same on both sides, and the tower sees nothing else.
    blind = drawn(llava, "vision.0")
    found = run_lf(llava, [blind, dictionary], INSTRUCTED, PLAIN, k=1, positions=Positions("all"))
    assert found.site == SITE
    assert found.scores[SITE] > found.scores[Site("vision", 0)]
    assert [one.sites for one in found.directions] == [(SITE,)]


def test_an_unknown_selector_is_refused(llava, dictionary):
    with pytest.raises(DictionaryError, match="no selector 'guess'"):
        run_lf(llava, [dictionary], INSTRUCTED, PLAIN, selector="guess", positions=READ)


def _last(llava, prompts):
    return states(llava, str(SITE), lambda: llava.read(llava.reading(prompts)))[0][:, -1].float()
