import math

import numpy as np
import pytest

from mmsteer.schedules import MUSIC_RFM, Timeline, crossfade

# Step 1500 is just past the 1500 steps of the paper, so that the ends can be seen.
TIMELINE = Timeline(1501, rate=50.0)


# By hand from the closed forms of the paper: .998^1500 = e^(1500 ln .998) = e^-3.003003 = .04964.
@pytest.mark.parametrize(
    ("name", "step", "expected"),
    [
        ("lin_up", 0, 0.0),
        ("lin_up", 375, 0.25),
        ("lin_up", 1500, 1.0),
        ("lin_down", 0, 1.0),
        ("lin_down", 375, 0.75),
        ("lin_down", 1500, 0.0),
        ("exp_down", 0, 1.0),
        ("exp_down", 1, 0.998),
        ("exp_down", 1500, 0.0496377),
        ("log_up", 0, 0.0229774),  # 1 / (1 + e^3.75)
        ("log_up", 750, 0.5),
        ("log_up", 950, 0.7310586),  # 1 / (1 + e^-1)
        ("sin", 0, 0.5),
        ("sin", 375, 1.0),
        ("sin", 1125, 0.0),
    ],
)
def test_golden_values(name, step, expected):
    assert MUSIC_RFM[name].values(TIMELINE)[0, step] == pytest.approx(expected, abs=1e-7)


FORMULAS = {
    "lin_up": lambda t: min(max(t / 1500, 0), 1),
    "lin_down": lambda t: 1 - min(max(t / 1500, 0), 1),
    "exp_down": lambda t: 0.998**t,
    "log_up": lambda t: 1 / (1 + math.exp(-(t - 750) / 200)),
    "sin": lambda t: 0.5 * (1 + math.sin(2 * math.pi * t / 1500)),
}


@pytest.mark.parametrize("steps", [300, 1500, 2500])
@pytest.mark.parametrize("name", FORMULAS)
def test_every_step_is_the_closed_form_whatever_the_length(name, steps):
    wanted = [FORMULAS[name](t) for t in range(steps)]
    np.testing.assert_allclose(MUSIC_RFM[name].values(Timeline(steps))[0], wanted, rtol=1e-12, atol=1e-12)


def test_the_names_are_those_of_the_table():
    assert MUSIC_RFM.keys() == FORMULAS.keys()


def test_the_sine_has_mean_one_half():
    assert MUSIC_RFM["sin"].values(Timeline(1500)).mean() == pytest.approx(0.5, abs=1e-12)


def test_the_ramps_are_partners_in_a_crossfade_that_sums_to_the_strength():
    down, up = 0.45 * MUSIC_RFM["lin_down"], 0.45 * MUSIC_RFM["lin_up"]
    np.testing.assert_allclose((down + up).values(TIMELINE), 0.45)
    partner = crossfade(MUSIC_RFM["lin_up"]).values(TIMELINE)
    np.testing.assert_allclose(partner, MUSIC_RFM["lin_down"].values(TIMELINE), atol=1e-15)
