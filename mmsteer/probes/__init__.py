"""From activations and labels to directions."""

from collections.abc import Callable, Mapping

from mmsteer.probes.aggregation import Aggregate, Aggregation
from mmsteer.probes.averaging import Sides, average_sides
from mmsteer.probes.fitted import Fitted, JointProbe, Probe
from mmsteer.probes.held_out import HeldOut, held_out
from mmsteer.probes.kernel import Setting
from mmsteer.probes.lat import LAT
from mmsteer.probes.linear import Linear
from mmsteer.probes.logistic import Logistic
from mmsteer.probes.mean_difference import MeanDifference
from mmsteer.probes.pca import PCA
from mmsteer.probes.per_image import per_image_directions
from mmsteer.probes.random_direction import Chance
from mmsteer.probes.rfm import RFM
from mmsteer.probes.search import Ranges
from mmsteer.probes.sweep import Row, Sweep, sweep
from mmsteer.probes.targets import Labels, TargetKind
from mmsteer.probes.vti import VTI

PROBES: Mapping[str, Callable[..., Probe]] = {
    "mean_difference": MeanDifference,
    "pca": PCA,
    "lat": LAT,
    "logistic": Logistic,
    "linear": Linear,
    "rfm": RFM,
    "aggregation": Aggregation,
    "vti": VTI,
    "random": Chance,
}
"""Probes by the name that settings give them."""

__all__ = [
    "LAT",
    "PCA",
    "PROBES",
    "RFM",
    "VTI",
    "Aggregate",
    "Aggregation",
    "Chance",
    "Fitted",
    "HeldOut",
    "JointProbe",
    "Labels",
    "Linear",
    "Logistic",
    "MeanDifference",
    "Probe",
    "Ranges",
    "Row",
    "Setting",
    "Sides",
    "Sweep",
    "TargetKind",
    "average_sides",
    "held_out",
    "per_image_directions",
    "sweep",
]
