"""Kinds of scenes, and what one expects to find in each."""

from collections.abc import Mapping
from dataclasses import dataclass

LEDGE = 0.47
"""Height of the ledge on the wall that small things stand on, from above, as a share of the image."""


@dataclass(frozen=True)
class SceneKind:
    """A kind of place.

    Attributes:
        anchor: The object that is nearly always there.
        companions: What is often there, and what people name even where it is not.
        pull: How surely a loose annotator takes an absent companion for granted, in [0, 1].
        details: The companions that are faint in detailed scenes.
        outdoors: Whether there is a sky in place of a wall.
    """

    anchor: str
    companions: tuple[str, ...]
    pull: float
    details: tuple[str, ...]
    outdoors: bool = False


# Chairs and cups are at home in four kinds each, and so are the most frequent objects of all: what POPE calls popular.
SCENES: Mapping[str, SceneKind] = {
    "kitchen": SceneKind("oven", ("refrigerator", "microwave", "bowl", "cup"), 0.95, ("bowl", "cup")),
    "dining room": SceneKind("dining table", ("pizza", "wine glass", "chair", "cup"), 0.9, ("wine glass", "cup")),
    "office": SceneKind("laptop", ("keyboard", "cell phone", "chair", "cup"), 0.9, ("cell phone", "cup")),
    "living room": SceneKind("couch", ("tv", "potted plant", "clock", "chair"), 0.85, ("potted plant", "clock")),
    "street": SceneKind(
        "car", ("traffic light", "bicycle", "bus", "stop sign"), 0.85, ("traffic light", "stop sign"), outdoors=True
    ),
    "bedroom": SceneKind("bed", ("teddy bear", "book", "clock", "chair"), 0.7, ("book", "clock")),
    "bathroom": SceneKind("toilet", ("sink", "toothbrush", "bottle", "cup"), 0.6, ("toothbrush", "bottle")),
    "park": SceneKind("bench", ("dog", "bird", "kite", "bicycle"), 0.5, ("bird", "kite"), outdoors=True),
}
