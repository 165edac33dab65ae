"""Attributes of music that are judged, and where a judge's reading has them."""

from collections.abc import Mapping

READINGS: Mapping[str, tuple[str, str]] = {
    "note": ("notes", "main_note"),
    "chord": ("chords", "quality"),
    "register": ("register", "register"),
    "tempo": ("tempo", "tempo"),
    "instrument": ("instrument", "instrument"),
    "mode": ("key", "mode"),
}
"""For each attribute the evaluator, and the field of its reading."""
