"""Scenes as pictures of 96 by 96 pixels, and what can be seen in them."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mmsteer.data.scenes.backdrops import paint_backdrop
from mmsteer.data.scenes.scene import Scene, Thing
from mmsteer.data.scenes.shapes import FIXED_PAINTS, SHAPES, Rgb, Stroke

SIDE = 96
# Drawn larger and then averaged: smooth edges.
_SCALE = 3
# Share of an object that must be in sight, and its least number of pixels.
SEEN_SHARE = 0.35
SEEN_PIXELS = 40


def render_scene(scene: Scene) -> Image.Image:
    """The scene as an RGB picture; the same for the same scene, noise included.

    Args:
        scene: What to draw.
    """
    rng = np.random.default_rng([scene.seed, SIDE])
    canvas = Image.new("RGB", (SIDE * _SCALE, SIDE * _SCALE))
    paint_backdrop(ImageDraw.Draw(canvas), SIDE * _SCALE, scene.kind, rng)
    for thing in _back_to_front(scene):
        tile = _tile(thing)
        canvas.paste(tile, _corner(thing), _faded(tile, thing.opacity))
    pixels = np.asarray(canvas.reduce(_SCALE), dtype=np.float64) * scene.light
    pixels += 255 * scene.noise * rng.standard_normal(pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def visible_things(scene: Scene) -> tuple[Thing, ...]:
    """What is in sight: enough of it is not hidden, and it is not too small.

    Args:
        scene: What to look at.
    """
    things, owners, areas = _ownership(scene)
    counts = np.bincount(owners.ravel(), minlength=len(things) + 1)[1:]
    enough = (counts >= SEEN_SHARE * areas) & (counts >= SEEN_PIXELS * _SCALE**2)
    return tuple(thing for thing, seen in zip(things, enough, strict=True) if seen)


def coverage(scene: Scene, grid: int) -> dict[str, NDArray[np.float64]]:
    """The share of each cell of a grid that each object in the scene covers, in sight: (grid, grid) by name.

    Args:
        scene: What to look at.
        grid: Cells a side; a divisor of the image's side.
    """
    things, owners, _ = _ownership(scene)
    side = SIDE * _SCALE // grid
    cells = owners.reshape(grid, side, grid, side)
    return {thing.name: (cells == index).mean(axis=(1, 3)) for index, thing in enumerate(things, start=1)}


def _ownership(scene: Scene) -> tuple[tuple[Thing, ...], NDArray[np.uint8], NDArray[np.int64]]:
    """Things back to front, which of them each pixel shows (0: none), and the area of each with nothing before it."""
    things = _back_to_front(scene)
    owners = Image.new("L", (SIDE * _SCALE, SIDE * _SCALE))
    areas = []
    for index, thing in enumerate(things, start=1):
        alpha = _tile(thing).getchannel("A").point(lambda value: 255 * (value > 0))
        owners.paste(index, _corner(thing), alpha)
        areas.append(np.count_nonzero(np.asarray(alpha)))
    return things, np.asarray(owners), np.array(areas, dtype=np.int64)


def _back_to_front(scene: Scene) -> tuple[Thing, ...]:
    return tuple(sorted(scene.things, key=lambda thing: thing.depth))


def _corner(thing: Thing) -> tuple[int, int]:
    left, top, _, _ = thing.box
    return round(left * SIDE * _SCALE), round(top * SIDE * _SCALE)


def _faded(tile: Image.Image, opacity: float) -> Image.Image:
    return tile.getchannel("A").point(lambda value: round(value * opacity))


def _tile(thing: Thing) -> Image.Image:
    """The thing alone, with alpha, in the resolution of drawing."""
    size = round(thing.width * SIDE * _SCALE), round(thing.height * SIDE * _SCALE)
    tile = Image.new("RGBA", size)
    draw = ImageDraw.Draw(tile)
    paints = {**FIXED_PAINTS, **_shades(thing.tint)}
    for stroke in SHAPES[thing.name].strokes:
        _paint(draw, stroke, size, paints[stroke.paint])
    return tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if thing.flipped else tile


def _shades(tint: Rgb) -> dict[str, Rgb]:
    red, green, blue = tint
    return {
        "main": tint,
        "dark": (_darker(red), _darker(green), _darker(blue)),
        "light": (_lighter(red), _lighter(green), _lighter(blue)),
        # What is written on the object: dark on light, light on dark.
        "keys": (60, 60, 65) if sum(tint) > 330 else (205, 205, 210),
    }


def _darker(value: int) -> int:
    return round(0.7 * value)


def _lighter(value: int) -> int:
    return round(value + 0.45 * (255 - value))


def _paint(draw: ImageDraw.ImageDraw, stroke: Stroke, size: tuple[int, int], paint: Rgb) -> None:
    xy = [value * (size[index % 2] - 1) for index, value in enumerate(stroke.xy)]
    width = max(1, round(stroke.size * size[1]))
    match stroke.form:
        case "box":
            draw.rounded_rectangle(xy, radius=stroke.size * size[1], fill=paint)
        case "disc":
            draw.ellipse(xy, fill=paint)
        case "half":
            draw.chord(xy, 0, 180, fill=paint)
        case "poly":
            draw.polygon(xy, fill=paint)
        case "line":
            draw.line(xy, fill=paint, width=width, joint="curve")
        case "ring":
            draw.ellipse(xy, outline=paint, width=width)
