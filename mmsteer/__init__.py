"""Steer multimodal models while they generate: find directions, inject them on a schedule, measure what changed."""

from importlib import import_module
from typing import Any

_HOMES = {
    "adapt": "mmsteer.api",
    "bundled_directions": "mmsteer.api",
    "load": "mmsteer.api",
    "steer": "mmsteer.api",
    "Attribute": "mmsteer.steering",
    "Steering": "mmsteer.steering",
    "parse_schedule": "mmsteer.schedules",
    "load_directions": "mmsteer.direction_file",
    "save_directions": "mmsteer.direction_file",
    "record": "mmsteer.record",
    "calibrate": "mmsteer.calibrate",
    "sweep": "mmsteer.probes",
}

__all__ = [
    "Attribute",
    "Steering",
    "adapt",
    "bundled_directions",
    "calibrate",
    "load",
    "load_directions",
    "parse_schedule",
    "record",
    "save_directions",
    "steer",
    "sweep",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: `import mmsteer` alone loads no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mmsteer' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
