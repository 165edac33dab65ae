import numpy as np
import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.following import average_trace, crossing_s, follow, window_edges

RAMP = np.linspace(0, 1, 8)


def test_a_trace_that_follows_correlates_fully():
    result = follow(RAMP, 0.1 + 0.5 * RAMP)
    assert result.pearson == pytest.approx(1)
    assert result.spearman == pytest.approx(1)
    assert (result.lag_s, result.windows) == (0, 8)


def test_ranks_forgive_a_curve_that_correlation_does_not():
    result = follow(RAMP, RAMP**6)
    assert result.spearman == pytest.approx(1)
    assert result.pearson < 0.9


def test_by_hand():
    """x = 0 1 2 3, y = 1 0 2 3: covariance 4, variances 5 and 5, so r = 0.8; the values are their own ranks."""
    result = follow(np.array([0.0, 1, 2, 3]), np.array([1.0, 0, 2, 3]))
    assert result.pearson == pytest.approx(0.8)
    assert result.spearman == pytest.approx(0.8)


def test_the_opposite_schedule_anticorrelates():
    assert follow(RAMP, 1 - RAMP).pearson == pytest.approx(-1)


@pytest.mark.parametrize("shift", [-2, 0, 1, 3])
def test_the_lag_is_how_much_later_the_trace_is(shift):
    wave = np.sin(np.arange(40) * 0.5)
    assert follow(wave[10:30], wave[10 - shift : 30 - shift], 0.25).lag_s == pytest.approx(shift * 0.25)


def test_constant_values_have_no_correlation():
    assert follow(np.ones(8), RAMP).pearson is None
    assert follow(RAMP, np.zeros(8)).spearman is None


def test_windows_without_sound_are_left_out():
    played = RAMP.copy()
    played[3] = np.nan
    result = follow(RAMP, played)
    assert (result.windows, result.pearson) == (7, pytest.approx(1))


@pytest.mark.parametrize(
    ("schedule", "played", "message"),
    [(RAMP, RAMP[:5], "sample both alike"), (RAMP[:3], RAMP[:3], "4 are needed"), (RAMP, RAMP * np.nan, "only 0")],
)
def test_what_cannot_be_compared_is_refused(schedule, played, message):
    with pytest.raises(EvalError, match=message):
        follow(schedule, played)


def test_traces_are_averaged_over_the_frames_that_count():
    times = np.array([0.1, 0.4, 0.6, 0.9])
    one, two = np.array([1.0, 1, 0, 0]), np.array([0.0, 0, 1, 1])
    edges = window_edges(1.5, 0.5)
    np.testing.assert_allclose(average_trace([(times, one), (times, two)], edges), [0.5, 0.5, np.nan])
    voiced = [np.ones(4), np.array([0.0, 0, 1, 1])]
    np.testing.assert_allclose(average_trace([(times, one), (times, two)], edges, voiced), [1, 0.5, np.nan])


def test_no_traces_and_ragged_ones_are_refused():
    with pytest.raises(EvalError, match="0 traces"):
        average_trace([], window_edges(1.0))
    with pytest.raises(EvalError, match="trace 0"):
        average_trace([(np.zeros(3), np.zeros(2))], window_edges(1.0))


def test_a_cross_fade_crosses_in_the_middle():
    times = np.linspace(0.25, 3.75, 8)
    assert crossing_s(times, 1 - times / 4, times / 4) == pytest.approx(2.0)


def test_an_early_exchange_of_the_lead_is_not_the_crossing():
    times = np.arange(8.0)
    lead = np.array([-1, 0.2, -1, -1, -1, 1, 1, 1])
    assert crossing_s(times, -lead, np.zeros(8)) == pytest.approx(4.5)


def test_traces_that_never_cross_have_no_crossing():
    assert crossing_s(np.arange(4.0), np.ones(4), np.zeros(4)) is None
    with pytest.raises(EvalError, match="cross-fade"):
        crossing_s(np.arange(4.0), np.ones(4), np.zeros(3))
