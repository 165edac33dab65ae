"""Vectors and low-rank edits that are trained through the frozen model: by likelihood, by preference, and by reward."""

from mmsteer.tuning.loop import Objective, Schedule, train
from mmsteer.tuning.low_rank import LowRankEdits
from mmsteer.tuning.reinforced import Reinforced, advantages
from mmsteer.tuning.rows import paired_outputs, wanted_outputs
from mmsteer.tuning.supervised import Likelihood, Preference
from mmsteer.tuning.trained_sites import TrainedSites, measure_sites
from mmsteer.tuning.vectors import AdditiveVectors, GatedVectors

__all__ = [
    "AdditiveVectors",
    "GatedVectors",
    "Likelihood",
    "LowRankEdits",
    "Objective",
    "Preference",
    "Reinforced",
    "Schedule",
    "TrainedSites",
    "advantages",
    "measure_sites",
    "paired_outputs",
    "train",
    "wanted_outputs",
]
