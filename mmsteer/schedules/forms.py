"""Which curves and gates can be written, and with which arguments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from mmsteer.schedules.curves import (
    Exponential,
    Linear,
    Logistic,
    Sine,
    Window,
    adsr,
    fade_in,
    fade_out,
)
from mmsteer.schedules.gates import Bernoulli
from mmsteer.schedules.schedule import Constant, Schedule

Kind = Literal["number", "whole", "moment", "word"]


@dataclass(frozen=True)
class Form:
    """How one curve is written.

    `build`: makes the schedule from its arguments, by name.
    `required`: how many of them must be given.
    `range`: Whether a range such as `0s..4s` may, must or cannot come first.
    `example`: how it looks.
    """

    build: Callable[..., Schedule]
    arguments: Mapping[str, Kind]
    required: int
    range: Literal["may", "must", "no"]
    example: str


FORMS: Mapping[str, Form] = {
    "constant": Form(Constant, {"value": "number"}, 1, "no", "constant(1)"),
    "linear": Form(Linear, {"first": "number", "last": "number"}, 0, "may", "linear(0s..4s, 0, 1)"),
    "fade-in": Form(fade_in, {}, 0, "may", "fade-in(0s..4s)"),
    "fade-out": Form(fade_out, {}, 0, "may", "fade-out(0s..4s)"),
    "exponential": Form(Exponential, {"ratio": "number", "per": "moment"}, 2, "may", "exponential(0s..8s, 0.5, 2s)"),
    "logistic": Form(Logistic, {"middle": "moment", "scale": "moment"}, 2, "may", "logistic(50%, 5%)"),
    "sine": Form(Sine, {"period": "moment", "offset": "moment"}, 1, "may", "sine(4s)"),
    "window": Form(Window, {}, 0, "must", "window(1s..3s)"),
    "adsr": Form(
        adsr,
        {"attack": "moment", "decay": "moment", "sustain": "number", "release": "moment"},
        4,
        "must",
        "adsr(0s..8s, 1s, 0.5s, 0.7, 2s)",
    ),
    "bernoulli": Form(Bernoulli, {"p": "number", "seed": "whole", "per": "word"}, 2, "no", "bernoulli(0.3, 7, layer)"),
}
