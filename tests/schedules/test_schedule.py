import functools
import inspect

import numpy as np
import pytest
from schedule_examples import COMBINED, SCHEDULES

import mmsteer.schedules
from mmsteer.errors import ScheduleError
from mmsteer.schedules import (
    Bernoulli,
    Constant,
    Exponential,
    Linear,
    Schedule,
    Sum,
    Timeline,
    Window,
    crossfade,
    fade_in,
    fade_out,
    parse_schedule,
    percent,
    seconds,
    steps,
)

TIMELINE = Timeline(steps=200, rate=50.0, layers=range(3))
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())


@every_schedule
def test_every_schedule_is_finite_everywhere(schedule):
    for timeline in (TIMELINE, Timeline(1700, 50.0, range(2)), Timeline(300, 55.0)):
        values = schedule.values(timeline)
        assert values.dtype == np.float64
        assert values.shape in {(1, timeline.steps), (len(timeline.layers), timeline.steps)}
        assert np.isfinite(values).all()


@every_schedule
def test_every_schedule_is_constant_outside_start_and_stop(schedule):
    start, stop = schedule.span(TIMELINE)
    before = schedule.sample(start - np.array([0.25, 0.5, 1.0, 77.3, 1e6]), TIMELINE)
    after = schedule.sample(stop + np.array([0.25, 0.5, 1.0, 77.3, 1e6]), TIMELINE)
    np.testing.assert_array_equal(before, np.broadcast_to(before[:, :1], before.shape))
    np.testing.assert_array_equal(after, np.broadcast_to(after[:, :1], after.shape))


@every_schedule
def test_reverse_plays_the_same_values_backwards(schedule):
    np.testing.assert_array_equal(schedule.reverse().values(TIMELINE), schedule.values(TIMELINE)[:, ::-1])


@every_schedule
def test_a_crossfade_sums_to_one(schedule):
    np.testing.assert_allclose((schedule + crossfade(schedule)).values(TIMELINE), 1.0, atol=1e-12)


@every_schedule
def test_a_schedule_needs_the_length_if_and_only_if_another_length_changes_it(schedule):
    short, long = Timeline(160, 50.0, range(3)), Timeline(290, 50.0, range(3))
    alike = np.array_equal(schedule.values(short), schedule.values(long)[:, :160])
    assert schedule.needs_length != alike


@every_schedule
def test_a_flat_schedule_has_one_value(schedule):
    everywhere = schedule.sample(np.arange(-50.0, 400.0, 0.25), TIMELINE)
    assert schedule.is_flat == (np.ptp(everywhere) == 0)


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("fade-in", True),
        ("2*fade-in + constant(1)", True),
        ("linear(1, 1)", False),
        ("constant(1)*linear(0s..4s, 0, 1).then(linear, 1s)", True),
        ("window(0%..100%)", False),
        ("window(0%..50%)", True),
        ("exponential(0.5, 1s)", False),
        ("exponential(0.5, 1s).shift(-1s)", True),
        ("exponential(0.5, 10%)", True),
        ("bernoulli(0.5, 3).shift(-4steps)", True),
        ("bernoulli(0.5, 3).shift(4steps)", False),
        ("constant(2).reverse()", False),
        ("constant(2).shift(50%)", False),
        ("window(0s..1s).reverse()", True),
    ],
)
def test_the_need_of_a_length_is_that_of_the_parts(text, needs):
    schedule = parse_schedule(text)
    short, long = schedule.values(Timeline(160, 50.0)), schedule.values(Timeline(290, 50.0))
    assert schedule.needs_length == needs == (not np.array_equal(short, long[:, :160]))


def test_the_examples_cover_every_implementation():
    exported = vars(mmsteer.schedules).values()
    wanted = {cls for cls in exported if inspect.isclass(cls) and issubclass(cls, Schedule)} - {Schedule}
    wanted |= set(Sum.__mro__[1].__subclasses__())
    used = {type(schedule) for schedule in SCHEDULES.values()}
    assert wanted <= used, wanted - used
    assert len(COMBINED) > 10


def test_sums_and_products_are_those_of_the_values():
    ramp, wave = np.arange(4) / 4, np.array([0.0, 0.0, 1.0, 0.0])
    one, two = Linear(), Window(steps(2), steps(3))
    timeline = Timeline(4)
    np.testing.assert_array_equal((one + two - 0.5).values(timeline)[0], ramp + wave - 0.5)
    np.testing.assert_array_equal((one * two * 3).values(timeline)[0], ramp * wave * 3)
    np.testing.assert_array_equal((1 - one).values(timeline)[0], 1 - ramp)
    np.testing.assert_array_equal((-one).values(timeline)[0], -ramp)


def test_operators_flatten_so_that_equal_sums_are_equal():
    one, two = Linear(), Constant(2)
    assert (one + two) + one == one + (two + one)
    assert (one * two) * one == one * (two * one)
    assert one + two != two + one


def test_shift_moves_a_curve_later():
    window = Window(seconds(0), seconds(1)).shift(seconds(0.5))
    assert np.flatnonzero(window.values(Timeline(8, rate=2.0))[0]).tolist() == [1, 2]


def test_shift_by_less_than_a_step_reads_the_curve_between_its_steps():
    np.testing.assert_allclose(Linear().shift(steps(0.5)).values(Timeline(4))[0], [0, 0.125, 0.375, 0.625])


def test_then_starts_the_second_clock_at_its_moment():
    there_and_back = fade_in(steps(0), steps(4)).then(fade_out(steps(0), steps(4)), steps(4))
    np.testing.assert_array_equal(
        there_and_back.values(Timeline(10))[0], [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0, 0]
    )


def test_then_takes_over_at_its_moment_and_not_a_step_later():
    assert Constant(0).then(Constant(1), steps(2)).values(Timeline(4))[0].tolist() == [0, 0, 1, 1]


def test_layers_that_differ_meet_layers_that_do_not():
    gate = Bernoulli(0.5, 1, "layer")
    timeline = Timeline(50, layers=range(4))
    values = (gate * Linear() + 1).values(timeline)
    np.testing.assert_array_equal(values, gate.values(timeline) * (np.arange(50) / 50) + 1)


@pytest.mark.parametrize(
    "schedule",
    [
        Exponential(2.0, steps(1)),
        1e308 * Constant(1e308),
        Constant(1e308) + Constant(1e308),
        1e308 * Constant(1e308) - 1e308 * Constant(1e308),
    ],
)
def test_a_schedule_that_overflows_is_refused(schedule):
    with pytest.raises(ScheduleError, match="beyond any number within 1500 steps"):
        schedule.values(Timeline(1500))


@pytest.mark.parametrize("build", [Constant, lambda x: x * Linear(), lambda x: Linear() + x, lambda x: Linear(last=x)])
def test_numbers_are_finite(build):
    with pytest.raises(ScheduleError, match="must be finite"):
        build(float("nan"))


def test_an_empty_sum_is_refused():
    with pytest.raises(ScheduleError, match="a sum of no schedules"):
        Sum(())


def test_nesting_is_bounded():
    deep = functools.reduce(lambda inner, _: inner.shift(steps(1)), range(63), Linear())
    assert deep.depth == 64
    with pytest.raises(ScheduleError, match="at most 64 levels"):
        deep.shift(steps(1))


def test_size_is_bounded():
    wide = functools.reduce(lambda half, _: half.then(half, percent(50)), range(8), Linear())
    assert wide.size == 511
    with pytest.raises(ScheduleError, match="1000 parts"):
        wide.then(wide, percent(50))


def test_a_schedule_is_a_value():
    assert hash(COMBINED["deep"]) == hash(COMBINED["deep"])
    assert Linear() != Linear(last=2)
