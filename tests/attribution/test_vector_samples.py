"""Training samples of a trained vector: influence beside training again without each, and planted wrong answers."""

import json
from dataclasses import replace

import pytest
import torch

from mmsteer.attribution import Effort, VectorSamples, attribute_training
from mmsteer.errors import AttributionError
from mmsteer.latents.trained_on import retrained, trained_on
from mmsteer.likelihood import output_likelihood
from mmsteer.steering import Attribute, Steering
from mmsteer.tuning import AdditiveVectors, Likelihood, Schedule, measure_sites, train
from mmsteer.types import Positions, Sample
from tests.conftest import TALK, planted, saying

WORDS = [word for word in TALK if word not in ("cup", "blue")]
WRONG = (2, 7)
SAMPLES = [
    Sample(f"row {at}", " ".join(WORDS[at % 5 : at % 5 + 2]), output="blue" if at in WRONG else "cup")
    for at in range(10)
]
ASKED = Sample("asked", WORDS[6], output="cup")
SCHEDULE = {"steps": 30, "rate": 0.05, "warm_up": 0.0, "decay": "linear", "clip": 1.0, "batch": 10, "seed": 0}


@pytest.fixture(scope="module")
def trained(talker):
    where = measure_sites(talker, SAMPLES, "text.2", Positions("all"))
    vectors = AdditiveVectors(where)
    train(vectors, Likelihood(SAMPLES, 10), Schedule(30, 0.05, 0.0), settings={})
    again = retrained(where, SAMPLES, SCHEDULE)
    return VectorSamples(talker, vectors.direction("a:b", {}), SAMPLES, ASKED, retrain=again)


def test_the_number_is_that_of_the_engine(talker, trained):
    pushed = Steering((Attribute(trained.direction, 1.0, unit="trained"),))
    wanted = float(output_likelihood(talker, [ASKED], pushed)[0, 0])
    assert trained.again(torch.ones(10)) == pytest.approx(wanted, abs=1e-4)
    assert trained.again(torch.zeros(10)) == pytest.approx(float(output_likelihood(talker, [ASKED])[0, 0]), abs=1e-4)
    assert abs(trained.again(torch.ones(10)) - trained.again(torch.zeros(10))) > 0.1


def test_training_again_on_all_is_the_same_training(trained):
    added = trained.retrain(range(10))
    for site, size in trained.lengths.items():
        torch.testing.assert_close(added[site], size * trained.direction.vectors[site], rtol=1e-3, atol=1e-4)


def test_influence_agrees_with_training_again_and_finds_wrong_answers(trained):
    near = attribute_training(trained, "influence", Effort(steps=32), damping=0.1).values
    exact = attribute_training(trained, "occlusion").values
    assert set(exact.argsort()[:2].tolist()) == set(WRONG) == set(near.argsort()[:2].tolist())
    assert float(torch.corrcoef(torch.stack([near, exact]))[0, 1]) > 0.8


def test_datamodels_find_wrong_answers(trained):
    values = attribute_training(trained, "datamodels", Effort(draws=40)).values
    assert set(values.argsort()[:2].tolist()) == set(WRONG)


def test_what_cannot_be_attributed_is_refused(talker, trained):
    with pytest.raises(AttributionError, match="needs `retrain`"):
        attribute_training(replace(trained, retrain=None), "occlusion")
    with pytest.raises(AttributionError, match="none is given"):
        replace(trained, asked=Sample("a", "red"))
    with pytest.raises(AttributionError, match="a length that was trained"):
        replace(trained, direction=saying(talker, "cup", "word:cup"))


def test_other_methods_and_rows_are_refused(talker):
    said = {"method": "rloo", "rows": "x", "label": None, "sites": "text.2", "positions": "all"}
    one = planted(talker, "d:x", [1])
    with pytest.raises(AttributionError, match="says nothing of a training"):
        trained_on(talker, one, [], ASKED)
    with pytest.raises(AttributionError, match="draws anew at every step"):
        trained_on(talker, replace(one, provenance={"settings": json.dumps(said)}), [], ASKED)
    with pytest.raises(AttributionError, match="on other rows than these 0"):
        trained_on(talker, replace(one, provenance={"settings": json.dumps({**said, "method": "ssv"})}), [], ASKED)
