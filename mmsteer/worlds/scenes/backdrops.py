"""Walls and floors, skies and grounds, with nothing on them that has a name among the objects."""

from collections.abc import Mapping

import numpy as np
from PIL import ImageDraw

from mmsteer.worlds.scenes.kinds import LEDGE
from mmsteer.worlds.scenes.shapes import Rgb

# Wall and floor of rooms.
_ROOMS: Mapping[str, tuple[Rgb, Rgb]] = {
    "kitchen": ((244, 232, 205), (196, 190, 180)),
    "dining room": ((226, 204, 184), (158, 118, 84)),
    "office": ((214, 220, 226), (120, 128, 140)),
    "living room": ((216, 226, 204), (176, 140, 104)),
    "bedroom": ((220, 210, 230), (186, 160, 140)),
    "bathroom": ((200, 228, 230), (150, 176, 186)),
}
_TILED = frozenset({"kitchen", "bathroom"})
_FLOOR = 0.66
_LEDGE_PAINT: Rgb = (172, 150, 122)


def backdrop_names(kind: str) -> frozenset[str]:
    """What of the backdrop has a name in `mmsteer.eval.open_nouns`.

    Args:
        kind: One of `SCENES`.
    """
    if kind in _ROOMS:
        return frozenset({"wall", "floor", "shelf"} | ({"tile"} if kind in _TILED else set()))
    if kind == "street":
        return frozenset({"sky", "building", "window", "pavement", "road"})
    return frozenset({"sky", "tree", "bush", "grass"})


def paint_backdrop(draw: ImageDraw.ImageDraw, side: int, kind: str, rng: np.random.Generator) -> None:
    """Paint all of the canvas.

    Args:
        draw: The canvas.
        side: Its side in pixels.
        kind: One of `SCENES`.
        rng: Source of small differences between two scenes of a kind.
    """
    shift = rng.integers(-10, 11, size=3)
    if kind in _ROOMS:
        _room(draw, side, *(_shifted(paint, shift) for paint in _ROOMS[kind]), tiled=kind in _TILED)
    elif kind == "street":
        _street(draw, side, shift, rng)
    else:
        _park(draw, side, shift, rng)


def _shifted(paint: Rgb, shift: np.ndarray) -> Rgb:
    red, green, blue = (int(np.clip(value + step, 0, 255)) for value, step in zip(paint, shift, strict=True))
    return red, green, blue


def _room(draw: ImageDraw.ImageDraw, side: int, wall: Rgb, floor: Rgb, *, tiled: bool) -> None:
    """A wall with a ledge along it for small things, and a floor."""
    draw.rectangle((0, 0, side, side), fill=wall)
    edge = _shifted(wall, np.full(3, -14))
    if tiled:
        for step in range(0, side, side // 8):
            draw.line((step, 0, step, _FLOOR * side), fill=edge)
            draw.line((0, step, side, step), fill=edge)
    draw.rectangle((0, _FLOOR * side, side, side), fill=floor)
    draw.rectangle((0, (_FLOOR - 0.02) * side, side, _FLOOR * side), fill=_shifted(wall, np.full(3, -40)))
    draw.rectangle((0, LEDGE * side, side, (LEDGE + 0.035) * side), fill=_LEDGE_PAINT)
    draw.rectangle(
        (0, (LEDGE + 0.035) * side, side, (LEDGE + 0.05) * side), fill=_shifted(_LEDGE_PAINT, np.full(3, -45))
    )


def _street(draw: ImageDraw.ImageDraw, side: int, shift: np.ndarray, rng: np.random.Generator) -> None:
    """Sky, a row of houses, a pavement and a road."""
    draw.rectangle((0, 0, side, side), fill=_shifted((186, 212, 236), shift))
    left = -float(rng.uniform(0, 0.1))
    while left < 1:
        width, top = float(rng.uniform(0.16, 0.3)), float(rng.uniform(0.05, 0.25))
        paint = _shifted((188, 176, 168), rng.integers(-25, 26, size=3))
        draw.rectangle((left * side, top * side, (left + width) * side, 0.56 * side), fill=paint)
        pane = _shifted(paint, np.full(3, -22))
        for row in np.arange(top + 0.04, 0.48, 0.09):
            for column in np.arange(left + 0.03, left + width - 0.05, 0.075):
                draw.rectangle([side * value for value in (column, row, column + 0.035, row + 0.05)], fill=pane)
        left += width
    draw.rectangle((0, 0.56 * side, side, 0.66 * side), fill=_shifted((190, 188, 182), shift))
    draw.rectangle((0, 0.66 * side, side, side), fill=_shifted((112, 114, 120), shift))
    for start in np.arange(0.02, 1, 0.24):
        draw.rectangle((start * side, 0.815 * side, (start + 0.12) * side, 0.835 * side), fill=(206, 206, 202))


def _park(draw: ImageDraw.ImageDraw, side: int, shift: np.ndarray, rng: np.random.Generator) -> None:
    """Sky, a hedge of round trees, and grass."""
    draw.rectangle((0, 0, side, side), fill=_shifted((176, 214, 242), shift))
    for x in np.arange(-0.05, 1.1, 0.13):
        size, top = float(rng.uniform(0.16, 0.26)), float(rng.uniform(0.3, 0.42))
        paint = _shifted((126, 170, 118), rng.integers(-12, 13, size=3))
        draw.ellipse([side * value for value in (x - size / 2, top, x + size / 2, top + size + 0.12)], fill=paint)
    draw.rectangle((0, 0.56 * side, side, side), fill=_shifted((146, 192, 112), shift))
