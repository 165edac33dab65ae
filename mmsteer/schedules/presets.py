"""The schedules of published methods, with their constants."""

from collections.abc import Mapping
from types import MappingProxyType

from mmsteer.schedules.curves import Exponential, Linear, Logistic, Sine
from mmsteer.schedules.schedule import Schedule
from mmsteer.schedules.timeline import steps

# MusicRFM, for 1500 steps (30 s at 50 steps a second). Its cross-fade is lin_down on one note and lin_up on
# the other. Source: Zhao et al. 2025, arXiv:2510.19127, the time schedules of section 3.
MUSIC_RFM: Mapping[str, Schedule] = MappingProxyType(
    {
        "lin_up": Linear(steps(0), steps(1500), 0.0, 1.0),
        "lin_down": Linear(steps(0), steps(1500), 1.0, 0.0),
        "exp_down": Exponential(ratio=0.998, per=steps(1)),
        "log_up": Logistic(middle=steps(750), scale=steps(200)),
        "sin": Sine(period=steps(1500)),
    }
)
