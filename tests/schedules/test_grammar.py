import random
import time

import pytest
from schedule_examples import SCHEDULES

from mmsteer.errors import ScheduleError
from mmsteer.schedules import (
    MUSIC_RFM,
    Bernoulli,
    Breakpoints,
    Constant,
    Exponential,
    Linear,
    Logistic,
    Sine,
    Window,
    adsr,
    crossfade,
    fade_in,
    fade_out,
    parse_schedule,
    percent,
    seconds,
    steps,
)
from mmsteer.schedules.forms import FORMS


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_every_schedule_prints_and_parses_back_to_itself(schedule):
    assert parse_schedule(str(schedule)) == schedule
    assert "\n" not in str(schedule)


OPERATIONS = (
    lambda rng, s, t: s + t,
    lambda rng, s, t: s - t,
    lambda rng, s, t: s * t,
    lambda rng, s, t: rng.choice([-1, 1, 0.5, -2.25, 1e-9]) * s,
    lambda rng, s, t: s.shift(seconds(rng.uniform(-2, 2))),
    lambda rng, s, t: s.then(t, percent(rng.randrange(100))),
    lambda rng, s, t: s.reverse(),
    lambda rng, s, t: crossfade(s),
)


@pytest.mark.parametrize("seed", range(200))
def test_random_algebra_prints_and_parses_back_to_itself(seed):
    rng = random.Random(seed)
    schedule = rng.choice(list(SCHEDULES.values()))
    for _ in range(rng.randrange(1, 12)):
        pair = [schedule, rng.choice(list(SCHEDULES.values()))]
        rng.shuffle(pair)
        schedule = rng.choice(OPERATIONS)(rng, *pair)
    assert parse_schedule(str(schedule)) == schedule


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("constant(1)", Constant(1)),
        ("0.5", Constant(0.5)),
        ("-.5e-1", Constant(-0.05)),
        ("2*3", Constant(6)),
        ("linear(0s..4s, 0, 1)", Linear(seconds(0), seconds(4))),
        ("linear(0.2, -1)", Linear(first=0.2, last=-1)),
        ("fade-in(0s..4s)", fade_in(seconds(0), seconds(4))),
        ("fade-in 0..4s", fade_in(seconds(0), seconds(4))),
        ("  fade-out   10 .. 100 steps ", fade_out(steps(10), steps(100))),
        ("fade-in", fade_in()),
        ("fade-out()", fade_out()),
        ("fade-in(-1..4s)", fade_in(seconds(-1), seconds(4))),
        ("fade-in 0s..50%", fade_in(seconds(0), percent(50))),
        ("linear 0..4s, 1, 0.5", Linear(seconds(0), seconds(4), 1, 0.5)),
        ("exponential(0..8s, 0.5, 2s)", Exponential(0.5, seconds(2), seconds(0), seconds(8))),
        ("logistic(50%, 1step)", Logistic(percent(50), steps(1))),
        ("sine 4s", Sine(seconds(4))),
        ("sine(1..9s, 4s, 1s)", Sine(seconds(4), seconds(1), seconds(1), seconds(9))),
        ("window 25..75%", Window(percent(25), percent(75))),
        ("points(0s:0, 1s:1, 4s:0)", Breakpoints(((seconds(0), 0), (seconds(1), 1), (seconds(4), 0)))),
        ("adsr(0..8s, 1s, 0.5s, 0.7, 2s)",
         adsr(seconds(1), seconds(0.5), 0.7, seconds(2), seconds(0), seconds(8))),
        ("bernoulli(0.3, 7)", Bernoulli(0.3, 7)),
        ("bernoulli(0.3, 7, layer)", Bernoulli(0.3, 7, "layer")),
        ("lin_up", MUSIC_RFM["lin_up"]),
        ("0.45*sin*bernoulli(0.3, 0)", 0.45 * (MUSIC_RFM["sin"] * Bernoulli(0.3, 0))),
        ("sine(4s)*0.5", 0.5 * Sine(seconds(4))),
        ("0.5*sine(4s) + fade-in", 0.5 * Sine(seconds(4)) + fade_in()),
        ("1 - fade-in - fade-out", 1 - fade_in() - fade_out()),
        ("crossfade(fade-in(0..4s))", crossfade(fade_in(seconds(0), seconds(4)))),
        ("(fade-in + 1).shift(-2s)", (fade_in() + 1).shift(seconds(-2))),
        ("fade-in 0..4s.shift(1s).reverse()", fade_in(seconds(0), seconds(4)).shift(seconds(1)).reverse()),
        ("fade-in.then(fade-out + 1, 50%)", fade_in().then(fade_out() + 1, percent(50))),
    ],
)  # fmt: skip
def test_what_people_write(text, expected):
    assert parse_schedule(text) == expected


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_every_example_in_an_error_message_can_be_read(form):
    parse_schedule(form.example)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", 0, "expected a curve, found the end; choose from constant, linear"),
        ("fade(0..4s)", 0, "no curve 'fade'; choose from constant, linear, fade-in"),
        ("0.5*zine(4s)", 4, "no curve 'zine'"),
        ("fade-in 0..4", 11, "a time needs a unit: write 4s, 4steps or 4%"),
        ("sine(4)", 5, "a time needs a unit"),
        ("window(50%)", 7, "expected a range of time first, as in window"),
        ("linear(0s..4s, 0, 1, 2)", 0, "do not fit; write it as linear(0s..4s, 0, 1)"),
        ("logistic(50%)", 0, "do not fit; write it as logistic(50%, 5%)"),
        ("constant()", 0, "do not fit; write it as constant(1)"),
        ("constant(1s)", 9, "a strength has no unit, but 1s is a time"),
        ("2s*sine(4s)", 0, "a strength has no unit"),
        ("constant(1e999)", 9, "the number is too large"),
        ("constant(nan)", 9, "expected a number, found 'nan'"),
        ("constant(0..1)", 10, "expected ')', found '..'"),
        ("1e200*1e200*lin_up", 0, "a factor is inf"),
        ("fade-in + ", 10, "expected a curve, found the end"),
        ("(fade-in", 8, "expected ')', found the end"),
        ("fade-in)", 7, "nothing is expected after a whole schedule"),
        ("fade-in fade-out", 8, "nothing is expected"),
        ("fade-in; import os", 7, "';' has no meaning here"),
        ("__import__('os')", 0, "'_' has no meaning here"),
        ("fade-in.__class__", 8, "'_' has no meaning here"),
        ("fade-in.values(1)", 8, "no operation 'values'; choose from shift, then, reverse"),
        ("fade-in.shift(2)", 14, "a time needs a unit"),
        ("fade-in.shift()", 14, "expected a time such as 2s"),
        ("fade-in.then(1)", 14, "expected ',', found ')'"),
        ("points()", 7, "expected a time"),
        ("points(0s)", 9, "expected ':', found ')'"),
        ("sine(0s)", 0, "the period of a sine must be longer than nothing"),
        ("bernoulli(2, 1)", 0, "probability of a gate lies in 0..1"),
        ("bernoulli(0.3, 0.5)", 15, "expected a whole number, found '0.5'"),
        ("bernoulli(0.3, 1, row)", 0, "per step or per layer, not per 'row'"),
        ("bernoulli(0.3, " + "9" * 5000 + ")", 15, "expected a whole number"),
        ("adsr(0..1s, 1s, 1s, 0.5, 1s)", 0, "do not fit into 0s..1s"),
        ("fäde", 1, "'ä' has no meaning here"),
        ("sine(4 sec)", 5, "a time needs a unit"),
    ],
)
def test_an_error_says_what_is_wrong_and_points_at_the_place(text, place, message):
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(text)
    lines = str(caught.value).splitlines()
    assert message in lines[0]
    assert len(lines) == 3
    skipped = max(place - 30, 0)
    assert lines[2].index("^") == 2 + place - skipped + (3 if skipped else 0)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000,
        "(" * 10_000 + "1" + ")" * 10_000,
        "-" * 10_000,
        "crossfade(" * 10_000,
        "1.then(" * 10_000,
        "fade-in" + ".reverse()" * 10_000,
        "1+" * 50_000 + "1",
        "fade-in*" * 10_000 + "fade-in",
        "9" * 150_000,
        "sine(" + "9" * 150_000,
        "constant(" + "9" * 150_000 + "s",
        "bernoulli(0.3, 1, " + "a" * 150_000 + ")",
        "a" * 150_000,
        "a-" * 75_000,
        " " * 150_000,
        "(" * 1_000_000,
        "1 + " * 250_000 + "1",
        "\0" * 1_000_000,
    ],
    ids=lambda text: f"{text[:9]!r} x {len(text)}",
)
def test_a_hostile_text_gets_one_clean_error_soon(text):
    start = time.process_time()
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(text)
    assert time.process_time() - start < 5
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("seed", range(300))
def test_random_damage_gives_a_schedule_or_a_schedule_error(seed):
    rng = random.Random(seed)
    text = list(str(rng.choice(list(SCHEDULES.values()))))
    for _ in range(rng.randrange(1, 5)):
        text[rng.randrange(len(text))] = rng.choice("0123456789.,:()+-*es%_ \n\0äx")
    try:
        schedule = parse_schedule("".join(text))
    except ScheduleError:
        return
    assert parse_schedule(str(schedule)) == schedule
