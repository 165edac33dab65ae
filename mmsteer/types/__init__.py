"""The frozen values that every part of mmsteer speaks in."""

from mmsteer.types.activations import Activations
from mmsteer.types.adapter import Adapter, Call, Forward, Layout, Reading, Sample
from mmsteer.types.direction import Direction, NormSpread, SiteStats, random_direction
from mmsteer.types.feature import Feature
from mmsteer.types.histogram import LogHistogram, binned
from mmsteer.types.positions import Kind, Positions, Tokens
from mmsteer.types.score import Score, mean_score, paired_score
from mmsteer.types.sinks import sink_mask, without_sinks
from mmsteer.types.site import Site, select_sites

__all__ = [
    "Activations",
    "Adapter",
    "Call",
    "Direction",
    "Feature",
    "Forward",
    "Kind",
    "Layout",
    "LogHistogram",
    "NormSpread",
    "Positions",
    "Reading",
    "Sample",
    "Score",
    "Site",
    "SiteStats",
    "Tokens",
    "binned",
    "mean_score",
    "paired_score",
    "random_direction",
    "select_sites",
    "sink_mask",
    "without_sinks",
]
