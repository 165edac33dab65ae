"""How each object is drawn.

Objects carry the names of COCO's classes, so that its evaluators read captions and questions about them unchanged.
"""

from collections.abc import Mapping

from mmsteer.worlds.scenes.shapes.brush import COLOURS, FIXED_PAINTS, Rgb, Shape, Stroke
from mmsteer.worlds.scenes.shapes.home_and_park import HOME_AND_PARK
from mmsteer.worlds.scenes.shapes.kitchen_and_desk import KITCHEN_AND_DESK
from mmsteer.worlds.scenes.shapes.street import STREET

SHAPES: Mapping[str, Shape] = {**KITCHEN_AND_DESK, **STREET, **HOME_AND_PARK}
# The order is part of the world: scenes are drawn along it.
OBJECTS: tuple[str, ...] = tuple(SHAPES)

__all__ = ["COLOURS", "FIXED_PAINTS", "OBJECTS", "SHAPES", "Rgb", "Shape", "Stroke"]
