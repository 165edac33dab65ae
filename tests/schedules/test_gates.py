import numpy as np
import pytest

from mmsteer.errors import ScheduleError
from mmsteer.schedules import Bernoulli, Linear, Timeline, steps

LONG = Timeline(1500, layers=range(47))


def test_per_step_all_layers_open_together():
    values = Bernoulli(0.3, seed=1).values(LONG)
    assert values.shape == (1, 1500)
    assert set(np.unique(values)) == {0.0, 1.0}


def test_per_layer_about_p_times_layers_open_at_each_step():
    # Reference: at p = .3, 13.8 (6..23) of 47 layers fire each step.
    values = Bernoulli(0.3, seed=1, per="layer").values(LONG)
    assert values.shape == (47, 1500)
    assert values.sum(axis=0).mean() == pytest.approx(0.3 * 47, abs=0.3)
    # Independent: the spread over steps is binomial, sqrt(47 * .3 * .7) = 3.14.
    assert values.sum(axis=0).std() == pytest.approx(3.14, abs=0.25)
    assert abs(np.corrcoef(values[0], values[1])[0, 1]) < 0.1


@pytest.mark.parametrize("p", [0.0, 0.15, 0.3, 1.0])
def test_the_mean_dose_is_p(p):
    # Four standard errors of a mean of 20,000 draws.
    values = Bernoulli(p, seed=3).values(Timeline(20_000))
    assert values.mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 20_000))


def test_neighbouring_steps_are_independent():
    values = Bernoulli(0.5, seed=5).values(Timeline(20_000))[0]
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.03


@pytest.mark.parametrize("per", ["step", "layer"])
def test_the_same_seed_is_the_same_gate_and_another_is_not(per):
    gate = Bernoulli(0.5, 7, per).values(LONG)
    np.testing.assert_array_equal(gate, Bernoulli(0.5, 7, per).values(LONG))
    assert (gate != Bernoulli(0.5, 8, per).values(LONG)).mean() > 0.4


@pytest.mark.parametrize("per", ["step", "layer"])
def test_more_steps_or_layers_keep_what_was_drawn(per):
    gate = Bernoulli(0.3, 7, per)
    short, long = gate.values(Timeline(100, layers=range(4))), gate.values(Timeline(900, layers=range(9)))
    np.testing.assert_array_equal(short, long[: len(short), :100])


def test_the_global_generator_neither_matters_nor_moves():
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    Bernoulli(0.3, 7).values(LONG)
    np.testing.assert_array_equal(state, np.random.get_state()[1])


@pytest.mark.parametrize("per", ["step", "layer"])
def test_the_schedule_clock_advances_at_closed_steps(per):
    # The released MusicRFM code reaches only t = 436 of 1500 at p = .3.
    gate = Bernoulli(0.3, 11, per)
    ramp = Linear(steps(0), steps(1500))
    gated, is_open = (ramp * gate).values(LONG), gate.values(LONG).astype(bool)
    wanted = np.broadcast_to(np.arange(1500) / 1500, gated.shape)
    np.testing.assert_array_equal(gated[is_open], wanted[is_open])
    assert not gated[~is_open].any()
    assert gated.max() > 0.99


@pytest.mark.parametrize(
    "arguments", [(-0.1, 1), (1.1, 1), (float("nan"), 1), (0.5, -1), (0.5, 2**64), (0.5, 0.5), (0.5, 1, "row")]
)
def test_what_is_no_gate_is_refused(arguments):
    with pytest.raises(ScheduleError):
        Bernoulli(*arguments)
