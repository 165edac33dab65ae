"""Features of right and wrong, found where they were planted, and steered as the papers say."""

from types import SimpleNamespace

import pytest
import torch

import mmsteer
from mmsteer.latents.hallucination import (
    STEERINGS,
    _best,
    judge,
    latents_steering,
    mention_latents,
    random_latents,
    save_latents,
    steer_latents,
)
from mmsteer.latents.object_mentions import caption
from mmsteer.sae import usage
from tests.latents.dictionaries import drawn
from tests.latents.scenes import shown
from tests.latents.test_object_mentions import planted


@pytest.fixture(scope="module")
def seeing():
    return mmsteer.load("bundled:vision")


@pytest.fixture(scope="module")
def dictionary(seeing):
    return drawn(seeing, "text.1", features=12)


@pytest.fixture(scope="module")
def used(dictionary):
    return usage(dictionary, [torch.randn(200, dictionary.width, generator=torch.Generator().manual_seed(0))])


def test_ssl_finds_what_is_more_active_at_wrong_mentions(dictionary):
    mentions = planted(200, 0)
    mentions.z[:, 8] += 1.0 * ~mentions.wrong
    found = mention_latents(dictionary, mentions, "mean_difference")
    assert (found.faithful.provenance["feature"], found.hallucinated.provenance["feature"]) == ("8", "3")
    assert found.found[0] == pytest.approx(1.0, abs=0.15)
    assert found.found[1] == pytest.approx(-2.0, abs=0.15)


def test_features_of_mentions_by_another_rule(dictionary):
    mentions = planted(200, 0)
    mentions.z[:, 8] = mentions.z[:, 8] * 0.01 + 0.02 * ~mentions.wrong
    # Small but sure: the mean difference would not see it.
    assert mention_latents(dictionary, mentions, "auroc").faithful.provenance["feature"] == "8"


def test_save_compares_right_with_wrong_answers(seeing, dictionary):
    found = save_latents(seeing, dictionary, shown("demos", 12))
    faithful, hallucinated = found.found
    assert hallucinated <= 0 <= faithful <= 1
    assert found.faithful.provenance["feature"] != found.hallucinated.provenance["feature"]
    assert found.faithful.sites == found.hallucinated.sites == (dictionary.site,)


def test_where_each_method_pushes(dictionary, used):
    latents = random_latents(dictionary, used, 0)
    towards, away = latents_steering("SAVE", latents, 0.2).attributes
    assert (towards.strength, away.strength, towards.unit) == (0.2, -0.2, "token")
    assert (str(towards.positions), str(away.positions)) == ("all", "all")
    towards, away = latents_steering("SSL", latents, 0.2).attributes
    assert (str(towards.positions), str(away.positions)) == ("image", "last | generated")
    others = random_latents(dictionary, used, 0, without=[int(latents.faithful.provenance["feature"])])
    assert others.faithful.provenance["feature"] != latents.faithful.provenance["feature"]


def test_no_strength_is_no_change(seeing, dictionary, used):
    scenes = shown("validation", 8)
    latents = random_latents(dictionary, used, 0)
    plain = caption(seeing, scenes)
    assert caption(seeing, scenes, latents_steering("SAVE", latents, 0.0)) == plain
    assert caption(seeing, scenes, latents_steering("SAVE", latents, 3.0)) != plain
    assert (
        judge(seeing, scenes, "plain").chair.rows
        == judge(seeing, scenes, "none", latents_steering("SSL", latents, 0.0)).chair.rows
    )


def test_a_control_stands_beside_every_method(seeing, dictionary, used):
    found = {name: random_latents(dictionary, used, seed) for seed, name in enumerate(STEERINGS)}
    scenes = shown("validation", 8), shown("validation", 8, 1)
    rows = steer_latents(seeing, found, used, dictionary, scenes, strengths=(0.2,))
    assert [row.condition for row in rows] == [
        "unsteered",
        "SAVE at 0.2 own",
        "SAVE, random features at 0.2 own",
        "SSL at 0.2 own",
        "SSL, random features at 0.2 own",
        "AUROC at 0.2 own",
        "AUROC, random features at 0.2 own",
    ]
    assert set(rows[0].row()) == {"condition", "chair_s", "chair_i", "recall", "length", "pope", "pope_f1"}


def test_a_strength_that_silences_is_not_chosen():
    def tried(chair_i, recall):
        return SimpleNamespace(chair_i=SimpleNamespace(value=chair_i), recall=SimpleNamespace(value=recall))

    three = [(0.1, tried(0.2, 0.9)), (0.2, tried(0.15, 0.85)), (0.4, tried(0.0, 0.1))]
    assert _best(three, 0.8) == 0.2
    assert _best(three, 0.89) == 0.1
    assert _best(three, 0.99) == 0.1  # none keeps it: the least
