"""What can be seen of things that stand before one another."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmsteer.worlds.scenes.drawing import SCALE, SIDE, back_to_front, corner, draw_thing
from mmsteer.worlds.scenes.thing import Thing

SEEN_SHARE = 0.35
"""Share of an object that must be in sight."""
SEEN_PIXELS = 40
"""Least number of pixels of an object in sight."""


def visible_things(things: Sequence[Thing]) -> tuple[Thing, ...]:
    """What is in sight: enough of it is not hidden, and it is not too small.

    Args:
        things: What stands there.
    """
    ordered, owners, areas = _ownership(things)
    counts = np.bincount(owners.ravel(), minlength=len(ordered) + 1)[1:]
    enough = (counts >= SEEN_SHARE * areas) & (counts >= SEEN_PIXELS * SCALE**2)
    return tuple(thing for thing, seen in zip(ordered, enough, strict=True) if seen)


def coverage(things: Sequence[Thing], grid: int) -> dict[str, NDArray[np.float64]]:
    """The share of each cell of a grid that each thing covers, in sight: (grid, grid) by name.

    Args:
        things: What stands there.
        grid: Cells a side; a divisor of the image's side.
    """
    ordered, owners, _ = _ownership(things)
    side = SIDE * SCALE // grid
    cells = owners.reshape(grid, side, grid, side)
    return {thing.name: (cells == index).mean(axis=(1, 3)) for index, thing in enumerate(ordered, start=1)}


def _ownership(things: Sequence[Thing]) -> tuple[tuple[Thing, ...], NDArray[np.uint8], NDArray[np.int64]]:
    """Things back to front, which of them each pixel shows (0: none), and the area of each with nothing before it."""
    ordered = back_to_front(things)
    owners = Image.new("L", (SIDE * SCALE, SIDE * SCALE))
    areas = []
    for index, thing in enumerate(ordered, start=1):
        alpha = draw_thing(thing).getchannel("A").point(lambda value: 255 * (value > 0))
        owners.paste(index, corner(thing), alpha)
        areas.append(np.count_nonzero(np.asarray(alpha)))
    return ordered, np.asarray(owners), np.array(areas, dtype=np.int64)
