"""Vectors that are trained through the frozen model: by likelihood, by preference, and by reward."""

from mmsteer.tuning.ground import Ground, read_ground
from mmsteer.tuning.loop import Objective, Schedule, train
from mmsteer.tuning.reinforced import Reinforced, advantages
from mmsteer.tuning.rows import paired_outputs, wanted_outputs
from mmsteer.tuning.supervised import Likelihood, Preference
from mmsteer.tuning.vectors import AdditiveVectors, GatedVectors

__all__ = [
    "AdditiveVectors",
    "GatedVectors",
    "Ground",
    "Likelihood",
    "Objective",
    "Preference",
    "Reinforced",
    "Schedule",
    "advantages",
    "paired_outputs",
    "read_ground",
    "train",
    "wanted_outputs",
]
