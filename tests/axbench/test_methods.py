"""Finders on planted concepts: what a word is, they detect and steer to."""

import numpy as np
import pytest
import torch

from mmsteer.api import load
from mmsteer.axbench.detection import auroc, best_threshold, f1
from mmsteer.axbench.lora import train_lora, with_lora
from mmsteer.axbench.material import Material
from mmsteer.axbench.methods import FINDERS, Budget
from mmsteer.likelihood import output_likelihood
from mmsteer.steering import Steering, steer
from mmsteer.types import Positions, Sample, Sampling, Site
from tests.axbench.conftest import WORDS

STEERING = ("diff-mean", "reft-r1", "loreft", "ssv")
ASKED = [Sample(str(at), " ".join(WORDS[at : at + 3])) for at in range(6)]


@pytest.fixture(scope="module")
def planted(talker_folder):
    """A model in which `cup` is one direction: the token puts it into states, where it makes the token likely."""
    adapter = load(talker_folder)
    cup = adapter.processor.convert_tokens_to_ids("cup")
    rows = [one.weight for one in (adapter.model.get_input_embeddings(), adapter.model.get_output_embeddings())]
    with torch.no_grad():
        plant = rows[1][cup] / rows[1][cup].norm()
        for one in rows:
            one[cup] = 3 * one.norm(dim=1).mean() * plant
    return adapter, plant.clone()


@pytest.fixture(scope="module")
def talker(planted):
    return planted[0]


@pytest.fixture(scope="module")
def material(talker, concepts):
    return Material(talker, Site("text", 2), concepts[0], 8, 0)


def budget(tmp_path, steps=40):
    return Budget(steps, 4, None, tmp_path, 0)


def detected(material, found):
    states, positive = material.tested
    return auroc([found.score(one) for one in states], positive)


def said(talker, steering):
    samples = [Sample(one.id, one.prompt, output="cup") for one in ASKED]
    return float(output_likelihood(talker, samples, steering)[:, 0].mean())


@pytest.mark.parametrize("name", [*STEERING, "probe"])
def test_the_plant_is_detected(material, tmp_path, name):
    assert detected(material, FINDERS[name](material, budget(tmp_path))) > 0.9


@pytest.mark.parametrize("name", STEERING)
def test_the_plant_is_steered_to(talker, planted, material, tmp_path, name):
    found = FINDERS[name](material, budget(tmp_path))
    assert said(talker, found.steering(1.0)) > said(talker, Steering()) + 0.5
    (vector,) = found.steered.direction.vectors.values()
    # An edit adds something else to each token: what it reads is the direction.
    vector = found.reading(torch.eye(len(vector))) if name == "loreft" else vector
    alike = float(vector @ planted[1])
    (other,) = FINDERS["random"](material, budget(tmp_path)).steered.direction.vectors.values()
    assert alike > 0.5 > 0.4 > abs(float(other @ planted[1]))


@pytest.mark.parametrize("name", ["diff-mean", "ssv", "loreft"])
def test_the_first_token_is_left_out_where_that_is_asked(talker, concepts, tmp_path, name):
    def changed(positions):
        material = Material(talker, Site("text", 2), concepts[0], 8, 0, Positions(positions))
        found = FINDERS[name](material, budget(tmp_path / positions, 2))
        with steer(talker, found.steering(1.0)) as session:
            talker.generate(ASKED[:1], Sampling(tokens=2, temperature=0.0))
        return session.receipt().tokens

    assert changed("all - first") == changed("all") - 1


@pytest.mark.parametrize("name", ["reft-r1", "loreft"])
def test_what_is_trained_says_the_plant(talker, material, tmp_path, name):
    found = FINDERS[name](material, budget(tmp_path, 80))
    factor = 1.0 if name == "loreft" else 2.0
    with steer(talker, found.steering(factor)):
        made = talker.generate(ASKED, Sampling(tokens=2, temperature=0.0))
    assert sum("cup" in str(one.output) for one in made) >= 5
    plain = talker.generate(ASKED, Sampling(tokens=2, temperature=0.0))
    assert sum("cup" in str(one.output) for one in plain) <= 2


def test_a_random_vector_is_the_control(talker, material, tmp_path):
    found = FINDERS["random"](material, budget(tmp_path))
    assert said(talker, found.steering(1.0)) < said(
        talker, FINDERS["diff-mean"](material, budget(tmp_path)).steering(1.0)
    )
    assert 0.0 <= detected(material, found) <= 1.0


@pytest.mark.parametrize("name", ["pca", "lat", "rfm", "bipo"])
def test_the_others_are_vectors_too(material, tmp_path, name):
    found = FINDERS[name](material, budget(tmp_path, 3))
    (vector,) = found.steered.direction.vectors.values()
    assert float(vector.norm()) == pytest.approx(1.0, abs=1e-4)
    assert found.scale > 0
    assert found.steering(2.0).attributes[0].strength == pytest.approx(2 * found.scale)


def test_a_factor_of_one_is_the_largest_reading(material, tmp_path):
    found = FINDERS["diff-mean"](material, budget(tmp_path))
    largest = max(found.score(one) for one in material.states[0])
    assert found.scale == pytest.approx(largest if largest > 0 else material.norm)


def test_reft_finds_nothing_below_zero(material, tmp_path):
    found = FINDERS["reft-r1"](material, budget(tmp_path, 3))
    assert float(found.reading(-100 * torch.stack(list(found.steered.direction.vectors.values()))).max()) == 0.0


def test_lora_learns_and_leaves_the_model_as_it_was(talker, material):
    before = said(talker, Steering())
    names = [name for name, _ in talker.model.named_parameters()]
    weights = train_lora(talker, material.positive, 30, 4, 0)
    assert said(talker, Steering()) == before
    with with_lora(talker, weights):
        assert said(talker, Steering()) > before + 0.2
    assert said(talker, Steering()) == before
    assert [name for name, _ in talker.model.named_parameters()] == names
    assert all(one.requires_grad for one in talker.model.parameters())


def test_lora_is_trained_in_float32_whatever_the_model_is_in(talker_folder, concepts):
    """As vectors are; in bfloat16 it learnt less, because most updates were rounded away."""
    talker = load(talker_folder)
    answers = Material(talker, Site("text", 2), concepts[0], 8, 0).positive
    talker.model.to(torch.bfloat16)
    before, weights = said(talker, Steering()), train_lora(talker, answers, 10, 4, 0)
    assert {one.dtype for one in weights.values()} == {torch.float32}
    assert {one.dtype for one in talker.model.parameters()} == {torch.bfloat16}
    with with_lora(talker, weights):
        assert said(talker, Steering()) > before


def test_each_concept_has_a_random_vector_of_its_own(talker, concepts, tmp_path):
    found = [
        FINDERS["random"](Material(talker, Site("text", 2), one, 8, 0), budget(tmp_path)).steered.direction.vectors
        for one in (concepts[0], concepts[1], concepts[0])
    ]
    first, second, again = (one[Site("text", 2)] for one in found)
    assert torch.equal(first, again)
    assert abs(float(first @ second)) < 0.6  # width 32


def test_auroc_and_f1_by_hand():
    """4 of 4 pairs but one tie: 3.5 / 4. At 1 %: TPR 1, FPR 1/2: precision .01 / (.01 + .495)."""
    assert auroc([0.9, 0.4, 0.4, 0.1], [True, True, False, False]) == 0.875
    precision = 0.01 / (0.01 + 0.99 / 2)
    assert f1([2, 2, 2, 0], [True, True, False, False], 1) == pytest.approx(2 * precision / (precision + 1))
    assert f1([0, 0, 2, 2], [True, True, False, False], 1) == 0.0


def test_the_threshold_minds_how_rare_positives_are():
    """One negative of 100 lies among the positives: at a half it costs little, at 1 in 1000 nearly all precision."""
    scores = [*np.linspace(5, 6, 10), *np.linspace(0, 1, 99), 5.5]
    positive = [True] * 10 + [False] * 100
    assert best_threshold(scores, positive, prevalence=0.5) < 5
    assert best_threshold(scores, positive, prevalence=0.001) > 5.5
