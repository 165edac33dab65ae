"""From activations and labels to directions."""

from mmsteer.probes.fitted import Fitted, Probe
from mmsteer.probes.kernel import Setting
from mmsteer.probes.mean_difference import MeanDifference
from mmsteer.probes.rfm import RFM
from mmsteer.probes.search import Ranges
from mmsteer.probes.sweep import Row, Sweep, sweep
from mmsteer.probes.targets import Labels, Task

PROBES: dict[str, type[Probe]] = {"mean_difference": MeanDifference, "rfm": RFM}

__all__ = [
    "PROBES",
    "RFM",
    "Fitted",
    "Labels",
    "MeanDifference",
    "Probe",
    "Ranges",
    "Row",
    "Setting",
    "Sweep",
    "Task",
    "sweep",
]
