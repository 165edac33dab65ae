from .api import adapt, bundled_directions, load, steer
from .attribution import attribute
from .calibrate import calibrate, divergence
from .formats import load_directions, save_directions, save_steering
from .hub import push
from .probes import RFM, MeanDifference, sweep
from .recipes.evaluate import Results, evaluate
from .recipes.rows.task import RowsTask
from .record import record
from .schedules import parse_schedule
from .steering import Attribute, Receipt, Steering
from .tasks import read_rows
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
    "Results",
    "RowsTask",
    "Sample",
    "Sampling",
    "Site",
    "Steering",
    "Waveform",
    "adapt",
    "attribute",
    "bundled_directions",
    "calibrate",
    "divergence",
    "evaluate",
    "load",
    "load_directions",
    "parse_schedule",
    "push",
    "read_rows",
    "record",
    "save_directions",
    "save_steering",
    "steer",
    "sweep",
]
