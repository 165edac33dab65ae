"""Strength as a function of time: data that prints, compares, combines and parses back."""

from mmsteer.schedules.curves import (
    Breakpoints,
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
from mmsteer.schedules.grammar import parse_schedule
from mmsteer.schedules.presets import MUSIC_RFM
from mmsteer.schedules.schedule import Constant, Product, Schedule, Sum, crossfade
from mmsteer.schedules.timeline import Moment, Timeline, percent, seconds, steps

__all__ = [
    "MUSIC_RFM",
    "Bernoulli",
    "Breakpoints",
    "Constant",
    "Exponential",
    "Linear",
    "Logistic",
    "Moment",
    "Product",
    "Schedule",
    "Sine",
    "Sum",
    "Timeline",
    "Window",
    "adsr",
    "crossfade",
    "fade_in",
    "fade_out",
    "parse_schedule",
    "percent",
    "seconds",
    "steps",
]
