"""One machine over all layers knows what each of them knows in part."""

import numpy as np
import pytest
import torch

from mmsteer.errors import ProbeError
from mmsteer.probes import RFM, Aggregation, Ranges
from mmsteer.probes.aggregation import draw_norm
from mmsteer.types import Site

QUICK = Aggregation(draws=3, iterations=3, joint_draws=12)


def layers(n=400, d=12, count=4, seed=0):
    """Layers that each show the label under noise of their own."""
    generator = torch.Generator().manual_seed(seed)
    y = (torch.arange(n) % 2).float()
    shift = torch.zeros(d)
    shift[0] = 1.0
    states = {
        Site("decoder", at): torch.randn(n, d, generator=generator) + (y[:, None] - 0.5) * 1.6 * shift
        for at in range(count)
    }
    return states, y


def test_together_the_layers_detect_better_than_any_alone():
    states, y = layers()
    found = QUICK.join(states, y, task="binary")
    assert found.score > max(fit.score for fit in found.fits.values()) + 0.02
    assert found.label_scores == {"yes": found.score}


def test_the_directions_are_those_of_the_layers():
    states, y = layers(n=200, count=2)
    fits = QUICK.fit_sites(states, y, task="binary")
    alone = RFM(draws=3, iterations=3).fit(states[Site("decoder", 1)], y, task="binary")
    assert torch.equal(fits[Site("decoder", 1)].directions["yes"], alone.directions["yes"])
    together = fits[Site("decoder", 0)].settings["together"]
    assert together["sites"] == 2
    assert together["score"] > 0.8


def test_shuffled_labels_are_not_detected():
    states, y = layers(n=600)
    shuffled = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(1))]
    assert abs(QUICK.join(states, shuffled, task="binary").score - 0.5) < 0.15


def test_new_samples_are_judged_from_all_layers():
    states, y = layers()
    found = QUICK.join(states, y, task="binary")
    new, truth = layers(seed=5)
    scores = found.scores(new)[:, 0]
    assert ((scores > scores.median()) == (truth > 0.5)).float().mean() > 0.85
    with pytest.raises(ProbeError, match=r"no states at decoder\.3"):
        found.scores({site: x for site, x in new.items() if site.layer != 3})


def test_classes_and_values_are_learned_as_well():
    states, y = layers(n=300, count=2)
    named = ["loud" if one else "soft" for one in y]
    assert QUICK.join(states, named, task="multiclass").score > 0.75
    values = y + 0.1 * torch.randn(300, generator=torch.Generator().manual_seed(2))
    assert QUICK.join(states, values, task="regression").metric == "r2"


def test_the_norm_is_drawn_between_the_exponent_and_two():
    random = np.random.default_rng(0)
    drawn = [draw_norm(Ranges(), random) for _ in range(200)]
    assert all(one.exponent <= one.norm <= 2 for one in drawn)
    assert max(one.norm for one in drawn) - min(one.norm for one in drawn) > 1
