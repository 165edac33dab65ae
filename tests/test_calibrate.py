"""Strength as a dose."""

import numpy as np
import pytest
import torch

from mmsteer.api import parse_steering
from mmsteer.calibrate import calibrate, calibrate_each, divergence
from mmsteer.errors import SteeringError
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Sample, random_direction
from tests.conftest import planted
from tests.steering.seeing import direction, llava, picture

__all__ = ["llava"]


def samples(count=3):
    rng = np.random.default_rng(0)
    return [Sample(f"clip-{i}", "a slow melody", output=rng.normal(size=6400).astype(np.float32)) for i in range(count)]


def steering(adapter, strength=1.0, **fields):
    return Steering((Attribute(planted(adapter, "note:C", range(4)), strength, **fields),))


def test_divergence_is_that_of_the_two_distributions(musicgen):
    reading = musicgen.reading(samples())
    plain = musicgen.read(reading).log_softmax(-1)
    with steer(musicgen, steering(musicgen)) as session, session.call(reading.call):
        pushed = musicgen.read(reading).log_softmax(-1)
    expected = torch.nn.functional.kl_div(plain, pushed, log_target=True, reduction="none").sum((-1, -2)).flatten()
    torch.testing.assert_close(divergence(musicgen, steering(musicgen), samples()), expected, atol=1e-5, rtol=1e-3)


def test_only_tokens_that_predict_output_count(llava):
    """Two answers of different lengths: the end of the prompt and every word, neither image nor prompt nor padding."""
    answers = ["a cup", "the table is there"]
    contexts = [Sample(str(i), "describe the image", (picture(i),), words) for i, words in enumerate(answers)]
    push = Steering((Attribute(direction(llava, ["text.1", "vision.1"]), 1.0),))
    found = divergence(llava, push, contexts)
    reading = llava.reading(contexts)
    plain = llava.read(reading).log_softmax(-1)[:, :, 0]
    with steer(llava, push) as session, session.call(reading.call):
        pushed = llava.read(reading).log_softmax(-1)[:, :, 0]
    each = torch.nn.functional.kl_div(plain, pushed, log_target=True, reduction="none").sum(-1)
    end = reading.call.prompt
    expected = torch.cat([each[0, end - 1 : end + 2], each[1, end - 1 : end + 4]])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)
    assert calibrate(llava, push, contexts, 0.01).kl == pytest.approx(0.01, rel=0.06)


def test_a_schedule_in_percent_is_of_the_steps_that_are_allowed(talker):
    contexts = [Sample("0", "a cup", output="is there a")]
    percent, steps = (
        divergence(talker, parse_steering(f"d 2 window({window})", {"d": planted(talker, "d", [1])}), contexts, steps=8)
        for window in ("25%..100%", "2steps..8steps")
    )
    assert torch.equal(percent, steps)
    assert [float(one) > 1e-6 for one in percent] == [False, False, True, True]


def test_no_strength_no_divergence(musicgen):
    assert divergence(musicgen, steering(musicgen, 0.0), samples(), guidance=3.0).max() == 0


def test_branches_of_guidance_differ(musicgen):
    doses = {
        branch: float(divergence(musicgen, steering(musicgen, branch=branch), samples(), guidance=3.0).mean())
        for branch in ("both", "conditional", "null")
    }
    assert doses["conditional"] > doses["null"] > 0  # the formulas: 3 dc against -2 du


@pytest.mark.parametrize("target", [0.003, 0.03])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_target_is_met_in_few_evaluations(musicgen, target, guidance):
    dose = calibrate(musicgen, steering(musicgen), samples(), target, guidance=guidance)
    assert dose.evaluations <= 6
    found = divergence(musicgen, steering(musicgen, dose.factor), samples(), guidance=guidance)
    assert float(torch.quantile(found.double(), 0.95)) == pytest.approx(target, rel=0.06)


def test_a_random_direction_can_be_brought_to_the_same_dose(musicgen):
    control = random_direction(planted(musicgen, "note:C", range(4)), 5)
    dose = calibrate(musicgen, Steering((Attribute(control, 1.0),)), samples(), 0.01)
    assert dose.kl == pytest.approx(0.01, rel=0.06)


def test_refusals(musicgen):
    with pytest.raises(SteeringError, match="not above zero"):
        calibrate(musicgen, steering(musicgen), samples(), 0.0)
    with pytest.raises(SteeringError, match="nothing to calibrate"):
        calibrate(musicgen, steering(musicgen, 0.0), samples(), 0.1)
    with pytest.raises(SteeringError, match="ask for a smaller divergence"):
        calibrate(musicgen, steering(musicgen), samples(), 1e4)


def test_each_of_several_is_calibrated_as_alone(musicgen):
    pushes = [steering(musicgen, strength) for strength in (0.3, 1.0, 3.0)]
    together = calibrate_each(musicgen, [*pushes, steering(musicgen, 0.0)], samples(), 0.02, rows=6)
    alone = [calibrate(musicgen, one, samples(), 0.02) for one in pushes]
    assert together[-1] is None
    for one, other in zip(together, alone, strict=False):
        assert one.evaluations == other.evaluations
        assert one.factor == pytest.approx(other.factor, rel=1e-3)


def test_no_target_for_several(musicgen):
    with pytest.raises(SteeringError, match="not above zero"):
        calibrate_each(musicgen, [steering(musicgen)], samples(), 0.0)
