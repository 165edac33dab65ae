import pytest

from mmsteer.errors import ScheduleError
from mmsteer.schedules import Moment, Timeline, percent, seconds, steps


@pytest.mark.parametrize(
    ("moment", "expected"),
    [(seconds(2), 100.0), (seconds(0.3), 15.0), (steps(7.5), 7.5), (percent(25), 50.0), (seconds(-1), -50.0)],
)
def test_a_moment_becomes_steps_of_the_timeline(moment, expected):
    assert moment.in_steps(Timeline(200, rate=50.0)) == expected


def test_seconds_without_a_rate_are_refused_with_the_remedy():
    with pytest.raises(ScheduleError, match=r"2s is in seconds.*no duration.*100steps.*50%"):
        seconds(2).in_steps(Timeline(200))


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -float("inf")])
def test_an_amount_of_time_is_finite(amount):
    with pytest.raises(ScheduleError, match="must be finite"):
        seconds(amount)


def test_a_moment_beyond_all_numbers_is_refused():
    with pytest.raises(ScheduleError, match="must be finite"):
        seconds(1e308).in_steps(Timeline(200, rate=50.0))


def test_an_unknown_unit_is_refused():
    with pytest.raises(ScheduleError, match="no unit 'beats'; choose from s, steps, %"):
        Moment(1, "beats")


def test_moments_of_one_unit_add_and_others_do_not():
    assert seconds(1) + seconds(2) - seconds(0.5) == seconds(2.5)
    with pytest.raises(ScheduleError, match="one unit"):
        seconds(1) + steps(1)


@pytest.mark.parametrize(
    "numbers",
    [
        {"steps": 0},
        {"steps": 5, "layers": ()},
        {"steps": 5, "layers": (-1,)},
        {"steps": 5, "rate": 0.0},
        {"steps": 5, "rate": float("nan")},
    ],
)
def test_a_timeline_has_steps_layers_and_a_positive_rate(numbers):
    with pytest.raises(ScheduleError):
        Timeline(**numbers)
