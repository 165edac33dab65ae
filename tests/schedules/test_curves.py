import numpy as np
import pytest

from mmsteer.errors import ScheduleError
from mmsteer.schedules import (
    Breakpoints,
    Constant,
    Exponential,
    Linear,
    Logistic,
    Sine,
    Timeline,
    Window,
    adsr,
    fade_in,
    fade_out,
    percent,
    seconds,
    steps,
)

EIGHT = Timeline(8, rate=2.0)


# By hand, on 8 steps of half a second.
@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(0.5), [0.5] * 8),
        (fade_in(seconds(1), seconds(3)), [0, 0, 0, 0.25, 0.5, 0.75, 1, 1]),
        (fade_out(percent(50), percent(100)), [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]),
        (Linear(steps(2), steps(4), -1, 3), [-1, -1, -1, 1, 3, 3, 3, 3]),
        (Exponential(0.5, seconds(1), seconds(1), seconds(3)), [1, 1, 1, 2**-0.5, 0.5, 2**-1.5, 0.25, 0.25]),
        (Window(seconds(1), seconds(3)), [0, 0, 1, 1, 1, 1, 0, 0]),
        (Sine(steps(4)), [0.5, 1, 0.5, 0, 0.5, 1, 0.5, 0]),
        (Sine(steps(4), steps(1), steps(2), steps(4)), [1, 1, 1, 0.5, 0, 0, 0, 0]),
        (Breakpoints(((steps(1), 0.0), (steps(3), 1.0), (steps(3), -1.0), (steps(5), 0.0))),
         [0, 0, 0.5, -1, -0.5, 0, 0, 0]),
        (adsr(steps(2), steps(2), 0.5, steps(2), steps(0), steps(8)), [0, 0.5, 1, 0.75, 0.5, 0.5, 0.5, 0.25]),
        (adsr(steps(0), steps(2), 0.5, steps(0), steps(1), steps(6)), [0, 1, 0.75, 0.5, 0.5, 0.5, 0, 0]),
    ],
)  # fmt: skip
def test_values_by_hand(schedule, expected):
    np.testing.assert_allclose(schedule.values(EIGHT)[0], expected, atol=1e-12)


def test_a_logistic_is_half_in_the_middle_and_symmetric():
    values = Logistic(steps(4), steps(2)).values(Timeline(9))[0]
    assert values[4] == 0.5
    np.testing.assert_allclose(values + values[::-1], 1)
    # 1 / (1 + e^-1), two steps after the middle
    assert values[6] == pytest.approx(0.7310585786300049, abs=1e-15)


@pytest.mark.parametrize(
    "schedule", [Linear(seconds(2), seconds(2)), Window(seconds(3), seconds(1)), Sine(steps(4), start=seconds(9))]
)
def test_a_curve_that_stops_before_it_starts_is_refused(schedule):
    with pytest.raises(ScheduleError, match=r"is empty on an output of 8 steps.*stop after its start"):
        schedule.values(EIGHT)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Exponential(0, steps(1)),
        lambda: Exponential(float("nan"), steps(1)),
        lambda: Exponential(0.5, steps(0)),
        lambda: Logistic(steps(1), steps(-1)),
        lambda: Sine(seconds(0)),
        lambda: Breakpoints(()),
        lambda: Breakpoints(((steps(0), float("inf")),)),
        lambda: adsr(seconds(1), seconds(1), 0.5, seconds(1), seconds(0), seconds(2)),
        lambda: adsr(seconds(1), steps(1), 0.5, seconds(1), seconds(0), seconds(5)),
        lambda: adsr(seconds(-1), seconds(1), 0.5, seconds(1), seconds(0), seconds(5)),
    ],
)
def test_numbers_that_make_no_curve_are_refused(build):
    with pytest.raises(ScheduleError):
        build()


def test_points_that_go_back_in_time_are_refused():
    with pytest.raises(ScheduleError, match="back in time: 1s after 50%"):
        Breakpoints(((percent(50), 0.0), (seconds(1), 1.0))).values(EIGHT)


def test_a_period_below_the_resolution_of_the_clock_is_refused():
    with pytest.raises(ScheduleError, match="millionth of a step"):
        Sine(steps(1e-9)).values(EIGHT)
