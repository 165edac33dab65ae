"""Features are chosen by what they do, whatever they go with; and random ones stand beside."""

from types import SimpleNamespace

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents import causal_selection
from mmsteer.latents.causal_selection import Tried, best, choose_by_effect, effect_conditions, likely_features
from mmsteer.sae import usage
from mmsteer.steering import Steering
from tests.latents.dictionaries import drawn
from tests.latents.scenes import shown
from tests.latents.test_object_mentions import planted
from tests.steering.seeing import llava

__all__ = ["llava"]


@pytest.fixture(scope="module")
def dictionary(llava):
    return drawn(llava, "text.1", features=12)


@pytest.fixture(scope="module")
def used(dictionary):
    return usage(dictionary, [torch.randn(200, dictionary.width, generator=torch.Generator().manual_seed(0))])


@pytest.fixture
def described(monkeypatch):
    """Feature 3 taken off by .2 leaves out what is not there; feature 5 silences; the rest changes nothing."""
    calls = []

    def said(scenes, steering):
        told = [(one.direction.provenance["feature"], one.strength) for one in steering.attributes]
        names = [sorted(objects)[0] for objects in scenes.objects]
        absent = [next(x for x in ("cup", "dog", "car", "bed") if x not in objects) for objects in scenes.objects]
        if told and told[0][0] == "5":
            return [""] * len(scenes)
        if told == [("3", -0.2)]:
            return [f"There is a {name}." for name in names]
        return [f"There is a {name} and a {other}." for name, other in zip(names, absent, strict=True)]

    def captions_under(adapter, scenes, steerings):
        calls.append((len(scenes), len(steerings)))
        return [said(scenes, one) for one in steerings]

    def answers(adapter, scenes, steering):
        """Feature 3 answers best at .1, which brings more that is not there than at -.2."""
        [one] = steering.attributes
        right = {("3", -0.2): 0.8, ("3", 0.1): 0.9}.get((one.direction.provenance["feature"], one.strength), 0.5)
        return SimpleNamespace(accuracy=SimpleNamespace(value=right))

    monkeypatch.setattr(causal_selection, "captions_under", captions_under)
    monkeypatch.setattr(causal_selection, "caption", lambda adapter, scenes: said(scenes, Steering()))
    monkeypatch.setattr(causal_selection, "answers", answers)
    return calls


def test_the_feature_that_does_it_is_chosen_with_its_sign(dictionary, used, described, monkeypatch):
    monkeypatch.setattr(causal_selection, "ASKED", 1)
    scenes = shown("validation", 9)
    chosen, asked = choose_by_effect(None, dictionary, used, scenes, range(12), finalists=2)
    assert [chosen] == asked
    assert (chosen.feature, chosen.strength, chosen.pope) == (3, -0.2, 0.8)
    assert chosen.chair.chair_i.value == 0.0
    assert chosen.row()["pope"] == 0.8
    # The first round sees a third of the scenes, the second all.
    assert {scenes for scenes, _ in described} == {3, 9}


def test_questions_decide_among_the_best(dictionary, used, described, monkeypatch):
    monkeypatch.setattr(causal_selection, "ASKED", 100)
    chosen, _ = choose_by_effect(None, dictionary, used, shown("validation", 9), range(4), finalists=4)
    assert (chosen.feature, chosen.strength, chosen.pope) == (3, 0.1, 0.9)


def test_what_costs_too_much_recall_is_refused():
    def tried(feature, chair_i, recall):
        return Tried(
            feature, 0.1, SimpleNamespace(chair_i=SimpleNamespace(value=chair_i), recall=SimpleNamespace(value=recall))
        )

    rows = [tried(0, 0.2, 0.9), tried(1, 0.1, 0.8), tried(2, 0.0, 0.1), tried(3, None, 0.9)]
    assert [one.feature for one in best(rows, 0.7, 4)] == [1, 0, 3]
    with pytest.raises(DictionaryError, match=r"none of 4 pushes keeps a recall of 0\.95"):
        best(rows, 0.95)


def test_controls_are_as_strong_and_elsewhere(dictionary, used):
    conditions = effect_conditions(dictionary, used, Tried(3, -0.2, SimpleNamespace()))
    [feature, *others] = [one.attributes[0] for one in conditions.values()]
    assert feature.direction.provenance["feature"] == "3"
    assert len(others) == 5
    assert {(one.strength, one.unit, str(one.positions)) for one in others} == {(-0.2, "token", "last | generated")}
    assert "3" not in {one.direction.provenance.get("feature") for one in others[:-1]}


def test_candidates_are_those_that_tell_and_those_that_are_large(dictionary):
    mentions = planted(200, 0)
    found = likely_features(mentions, drawn_like(mentions, dictionary), 6)
    assert found[0] == 3  # more active at wrong mentions
    assert len(found) == len(set(found)) == 6


def drawn_like(mentions, dictionary):
    return SimpleNamespace(decoder=torch.ones(mentions.z.shape[1], dictionary.width))
