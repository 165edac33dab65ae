"""The brush that objects are drawn with: strokes in a unit square, y downwards, later strokes over earlier ones.

Paints: `main`, `dark` and `light` follow the object's colour; all others are fixed, see `FIXED_PAINTS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Rgb = tuple[int, int, int]

COLOURS: Mapping[str, Rgb] = {
    "red": (205, 50, 45),
    "blue": (55, 95, 195),
    "green": (60, 150, 75),
    "yellow": (235, 200, 60),
    "white": (240, 240, 236),
    "black": (45, 45, 50),
    "brown": (135, 85, 50),
    "grey": (140, 145, 150),
    "pink": (235, 150, 175),
    "purple": (130, 80, 165),
}

FIXED_PAINTS: Mapping[str, Rgb] = {
    "ink": (35, 35, 40),
    "paper": (248, 246, 240),
    "glass": (185, 215, 232),
    "steel": (165, 170, 178),
    "wood": (150, 100, 60),
    "leaf": (55, 135, 60),
    "leaf2": (85, 165, 80),
    "lamp_red": (235, 60, 50),
    "lamp_yellow": (250, 210, 70),
    "lamp_green": (80, 200, 100),
    "glow": (235, 150, 70),
    "screen": (95, 160, 225),
    "crust": (200, 145, 80),
    "cheese": (248, 210, 95),
    "salami": (190, 55, 45),
    "wine": (135, 25, 55),
}


@dataclass(frozen=True)
class Stroke:
    """One filled form.

    Attributes:
        form: `box`, `disc`, `poly`, `line`, `ring` or `half` (the lower half of a disc).
        paint: A paint's name.
        xy: Corners or points, x before y.
        size: Corner radius of a box, width of a line or ring; as a share of the object's height.
    """

    form: str
    paint: str
    xy: tuple[float, ...]
    size: float = 0.0


@dataclass(frozen=True)
class Shape:
    """How a class of objects looks, and where it stands.

    Attributes:
        aspect: Width over height.
        heights: Smallest and largest height, as shares of the image.
        place: `floor`, `surface` (small things), `wall` or `sky`.
        colours: Names of colours that it comes in; empty where its colours are its own.
        strokes: The drawing.
    """

    aspect: float
    heights: tuple[float, float]
    place: str
    colours: tuple[str, ...]
    strokes: tuple[Stroke, ...]


def box(paint: str, *xy: float, round: float = 0.0) -> Stroke:
    """A filled rectangle.

    Args:
        paint: A paint's name.
        xy: Left, top, right, bottom.
        round: Radius of its corners.
    """
    return Stroke("box", paint, xy, round)


def disc(paint: str, *xy: float) -> Stroke:
    """A filled ellipse.

    Args:
        paint: A paint's name.
        xy: Left, top, right, bottom.
    """
    return Stroke("disc", paint, xy)


def half(paint: str, *xy: float) -> Stroke:
    """The lower half of an ellipse.

    Args:
        paint: A paint's name.
        xy: Left, top, right, bottom of the whole.
    """
    return Stroke("half", paint, xy)


def poly(paint: str, *xy: float) -> Stroke:
    """A filled polygon.

    Args:
        paint: A paint's name.
        xy: Its corners.
    """
    return Stroke("poly", paint, xy)


def line(paint: str, size: float, *xy: float) -> Stroke:
    """A line through points.

    Args:
        paint: A paint's name.
        size: Width.
        xy: The points.
    """
    return Stroke("line", paint, xy, size)


def ring(paint: str, size: float, *xy: float) -> Stroke:
    """The outline of an ellipse.

    Args:
        paint: A paint's name.
        size: Width.
        xy: Left, top, right, bottom.
    """
    return Stroke("ring", paint, xy, size)


def dot(paint: str, x: float, y: float, rx: float, ry: float) -> Stroke:
    """A filled ellipse around a point.

    Args:
        paint: A paint's name.
        x: Middle, horizontally.
        y: Middle, vertically.
        rx: Half its width.
        ry: Half its height.
    """
    return Stroke("disc", paint, (x - rx, y - ry, x + rx, y + ry))
