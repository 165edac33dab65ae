"""Kinds of scenes, and what one expects to find in each."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SceneKind:
    """A kind of place.

    Attributes:
        anchor: The object that is nearly always there.
        companions: What is often there, and what people name even where it is not.
        pull: How surely a loose annotator takes an absent companion for granted, in [0, 1].
        outdoors: Whether there is a sky in place of a wall.
    """

    anchor: str
    companions: tuple[str, ...]
    pull: float
    outdoors: bool = False


SCENES: Mapping[str, SceneKind] = {
    "kitchen": SceneKind("oven", ("refrigerator", "microwave", "sink", "bowl"), 0.95),
    "dining room": SceneKind("dining table", ("pizza", "wine glass", "bowl", "chair"), 0.9),
    "office": SceneKind("laptop", ("keyboard", "cell phone", "cup", "book"), 0.9),
    "living room": SceneKind("couch", ("tv", "potted plant", "clock", "chair"), 0.85),
    "street": SceneKind("car", ("traffic light", "bicycle", "bus", "stop sign"), 0.85, outdoors=True),
    "bedroom": SceneKind("bed", ("teddy bear", "clock", "book", "potted plant"), 0.7),
    "bathroom": SceneKind("toilet", ("sink", "toothbrush", "bottle", "cup"), 0.6),
    "park": SceneKind("bench", ("dog", "bird", "kite", "bicycle"), 0.5, outdoors=True),
}
