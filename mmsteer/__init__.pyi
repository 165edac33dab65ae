from .api import adapt, bundled_directions, load, steer
from .calibrate import calibrate, divergence
from .direction_file import load_directions, save_directions
from .probes import RFM, MeanDifference, sweep
from .record import record
from .schedules import parse_schedule
from .steering import Attribute, Receipt, Steering
from .types import Chat, Direction, Positions, Raw, Sample, Sampling, Site, Waveform

__all__ = [
    "RFM",
    "Attribute",
    "Chat",
    "Direction",
    "MeanDifference",
    "Positions",
    "Raw",
    "Receipt",
    "Sample",
    "Sampling",
    "Site",
    "Steering",
    "Waveform",
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
