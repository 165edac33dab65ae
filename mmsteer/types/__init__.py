"""The frozen values that every part of mmsteer speaks in."""

from mmsteer.types.activations import Activations
from mmsteer.types.adapter import Adapter, Call, Forward, Identified, Identity, Layout, Logits, Reading, Wrap, likeness
from mmsteer.types.content import content_digest
from mmsteer.types.direction import UNKNOWN, Direction, NormSpread, SiteStats, random_direction
from mmsteer.types.feature import Feature
from mmsteer.types.histogram import LogHistogram, binned, binned_each
from mmsteer.types.low_rank import LowRank
from mmsteer.types.metric import Metric
from mmsteer.types.port import Port
from mmsteer.types.positions import OUTPUT, Kind, Positions, Tokens
from mmsteer.types.sample import Chat, Raw, Sample, Sampling, Waveform, as_samples
from mmsteer.types.score import Score, mean_score, paired_score
from mmsteer.types.sinks import sink_mask, without_sinks
from mmsteer.types.site import APART, POINTS, WRITTEN, Site, select_sites
from mmsteer.types.sketch import COMPATIBILITIES, Sketch
from mmsteer.types.thinking import (
    TAGS,
    Marks,
    check_thoughts,
    marks_in,
    open_behind,
    tells_thoughts,
    thoughts,
    with_thoughts,
)

__all__ = [
    "APART",
    "COMPATIBILITIES",
    "OUTPUT",
    "POINTS",
    "TAGS",
    "UNKNOWN",
    "WRITTEN",
    "Activations",
    "Adapter",
    "Call",
    "Chat",
    "Direction",
    "Feature",
    "Forward",
    "Identified",
    "Identity",
    "Kind",
    "Layout",
    "LogHistogram",
    "Logits",
    "LowRank",
    "Marks",
    "Metric",
    "NormSpread",
    "Port",
    "Positions",
    "Raw",
    "Reading",
    "Sample",
    "Sampling",
    "Score",
    "Site",
    "SiteStats",
    "Sketch",
    "Tokens",
    "Waveform",
    "Wrap",
    "as_samples",
    "binned",
    "binned_each",
    "check_thoughts",
    "content_digest",
    "likeness",
    "marks_in",
    "mean_score",
    "open_behind",
    "paired_score",
    "random_direction",
    "select_sites",
    "sink_mask",
    "tells_thoughts",
    "thoughts",
    "with_thoughts",
    "without_sinks",
]
