"""Things drawn one by one, in three times the picture's resolution: averaged later, edges are smooth."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from mmsteer.worlds.scenes.shapes import FIXED_PAINTS, SHAPES, Rgb, Stroke
from mmsteer.worlds.scenes.thing import Thing

SIDE = 96
"""Pixels a side of a picture."""
SCALE = 3
"""Drawn pixels a pixel, along each side."""


def back_to_front(things: Sequence[Thing]) -> tuple[Thing, ...]:
    """Things in the order of drawing.

    Args:
        things: In any order.
    """
    return tuple(sorted(things, key=lambda thing: thing.depth))


def corner(thing: Thing) -> tuple[int, int]:
    """Where a drawn thing's left upper corner belongs, in drawn pixels.

    Args:
        thing: The thing.
    """
    left, top, _, _ = thing.box
    return round(left * SIDE * SCALE), round(top * SIDE * SCALE)


def draw_thing(thing: Thing) -> Image.Image:
    """The thing alone, with alpha, in drawn pixels.

    Args:
        thing: The thing.
    """
    size = round(thing.width * SIDE * SCALE), round(thing.height * SIDE * SCALE)
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
