"""One example of everything that is a schedule, for the contract and the round trip."""

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
    percent,
    seconds,
    steps,
)

RAMP = fade_in(seconds(0.5), seconds(3))
WAVE = Sine(seconds(1.3), seconds(0.2), seconds(0.5), percent(80))
GATE = Bernoulli(0.3, 7)

CURVES = {
    "constant": Constant(-0.25),
    "linear": Linear(steps(10), percent(75), 0.2, -3.5),
    "linear whole": Linear(),
    "fade-in": RAMP,
    "fade-out": fade_out(seconds(-1), seconds(2)),
    "exponential": Exponential(0.5, seconds(0.7), seconds(0.1), seconds(2)),
    "exponential growth": Exponential(1.01, steps(1)),
    "logistic": Logistic(seconds(2), steps(13.7)),
    "logistic steep": Logistic(percent(50), steps(0.001), seconds(1), seconds(3)),
    "sine": WAVE,
    "sine whole": Sine(steps(33)),
    "window": Window(seconds(1), percent(60)),
    "points": Breakpoints(((seconds(1), 0.1), (steps(60), -2.0), (seconds(3), 0.3), (seconds(3), 1e-7))),
    "one point": Breakpoints(((seconds(1), 0.1),)),
    "adsr": adsr(seconds(0), seconds(0.5), 0.7, seconds(1), seconds(0.5), seconds(3.5)),
    "gate": GATE,
    "gate per layer": Bernoulli(0.45, 2**64 - 1, "layer"),
    **MUSIC_RFM,
}
COMBINED = {
    "scaled": 0.1 * RAMP,
    "negative": -WAVE,
    "scaled twice": 2 * (0.5 * RAMP),
    "scaled by zero": -0.0 * RAMP + -0.0 * WAVE,
    "scaled constant": -2 * Constant(3.0),
    "sum": RAMP + WAVE + 0.5,
    "difference": RAMP - 0.5 * WAVE - WAVE - (RAMP + WAVE),
    "difference of a scaled": Constant(1) - (0.5 * RAMP) - 1 * (0.5 * RAMP) - -1 * (3 * RAMP),
    "sum inside a sum": RAMP - (WAVE - RAMP * 2),
    "product": RAMP * WAVE * GATE,
    "product of sums": (RAMP + WAVE) * (RAMP - WAVE),
    "product of scaled": (0.5 * RAMP) * (-1 * WAVE),
    "minus a product": Constant(1) - RAMP * WAVE,
    "scaled product": 0.3 * (RAMP * WAVE),
    "constant times curve": Constant(2) * RAMP * 3,
    "shifted": RAMP.shift(seconds(-0.25)),
    "shifted gate": Bernoulli(0.3, 7, "layer").shift(steps(10.5)) * RAMP,
    "reversed": (RAMP * GATE).reverse(),
    "reversed window": Window(seconds(1), seconds(2)).reverse(),
    "then": RAMP.then(fade_out(seconds(0), seconds(1)) + 0.1, seconds(2)),
    "then late": Window(seconds(3), seconds(3.5)).then(WAVE.reverse(), seconds(1)),
    "crossfade": crossfade(0.5 * RAMP),
    "deep": -((0.5 * RAMP + WAVE).shift(steps(3)).reverse() * GATE).then(crossfade(WAVE), percent(50)).shift(steps(1)),
}
SCHEDULES = CURVES | COMBINED
