from mmsteer.api import adapt, bundled_directions, load, steer
from mmsteer.calibrate import calibrate, divergence
from mmsteer.direction_file import load_directions, save_directions
from mmsteer.probes import RFM, MeanDifference, sweep
from mmsteer.record import record
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Receipt, Steering
from mmsteer.types import Direction, Positions, Sample, Site

__all__ = [
    "RFM",
    "Attribute",
    "Direction",
    "MeanDifference",
    "Positions",
    "Receipt",
    "Sample",
    "Site",
    "Steering",
    "adapt",
    "bundled_directions",
    "calibrate",
    "divergence",
    "load",
    "load_directions",
    "parse_schedule",
    "record",
    "save_directions",
    "steer",
    "sweep",
]
