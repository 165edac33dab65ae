"""How each object is drawn: strokes in a unit square, y downwards, later strokes over earlier ones.

Objects carry the names of COCO's classes, so that its evaluators read captions and questions about them unchanged.
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


def _box(paint: str, *xy: float, round: float = 0.0) -> Stroke:
    return Stroke("box", paint, xy, round)


def _disc(paint: str, *xy: float) -> Stroke:
    return Stroke("disc", paint, xy)


def _half(paint: str, *xy: float) -> Stroke:
    return Stroke("half", paint, xy)


def _poly(paint: str, *xy: float) -> Stroke:
    return Stroke("poly", paint, xy)


def _line(paint: str, size: float, *xy: float) -> Stroke:
    return Stroke("line", paint, xy, size)


def _ring(paint: str, size: float, *xy: float) -> Stroke:
    return Stroke("ring", paint, xy, size)


def _dot(paint: str, x: float, y: float, rx: float, ry: float) -> Stroke:
    return Stroke("disc", paint, (x - rx, y - ry, x + rx, y + ry))


SHAPES: Mapping[str, Shape] = {
    "oven": Shape(
        0.95,
        (0.32, 0.44),
        "floor",
        ("white", "grey", "black", "red"),
        (
            _box("main", 0, 0, 1, 1, round=0.04),
            _box("dark", 0, 0, 1, 0.2),
            *(_dot("paper", x, 0.1, 0.05, 0.05) for x in (0.15, 0.38, 0.62, 0.85)),
            _line("steel", 0.05, 0.15, 0.28, 0.85, 0.28),
            _box("ink", 0.13, 0.36, 0.87, 0.84, round=0.05),
            _box("glow", 0.2, 0.44, 0.8, 0.76),
            _line("ink", 0.03, 0.2, 0.6, 0.8, 0.6),
        ),
    ),
    "refrigerator": Shape(
        0.5,
        (0.5, 0.64),
        "floor",
        ("white", "grey", "blue", "red"),
        (
            _box("main", 0, 0, 1, 0.97, round=0.04),
            _box("ink", 0.08, 0.96, 0.25, 1),
            _box("ink", 0.75, 0.96, 0.92, 1),
            _box("dark", 0, 0.34, 1, 0.365),
            _box("ink", 0.1, 0.14, 0.2, 0.3),
            _box("ink", 0.1, 0.41, 0.2, 0.66),
        ),
    ),
    "microwave": Shape(
        1.65,
        (0.17, 0.24),
        "surface",
        ("white", "grey", "black", "red"),
        (
            _box("main", 0, 0, 1, 0.96, round=0.06),
            _box("ink", 0.06, 0.14, 0.66, 0.84, round=0.06),
            _box("steel", 0.12, 0.24, 0.6, 0.74),
            _box("dark", 0.73, 0.1, 0.95, 0.88),
            _box("lamp_green", 0.76, 0.16, 0.92, 0.32),
            *(_dot("paper", x, y, 0.03, 0.05) for x in (0.79, 0.89) for y in (0.46, 0.62, 0.78)),
        ),
    ),
    "sink": Shape(
        1.0,
        (0.28, 0.38),
        "floor",
        ("white", "grey", "pink", "blue"),
        (
            _box("dark", 0.4, 0.5, 0.6, 1),
            _poly("dark", 0.3, 0.94, 0.7, 0.94, 0.75, 1, 0.25, 1),
            _half("main", 0, 0.0, 1, 0.74),
            _disc("light", 0, 0.28, 1, 0.46),
            _disc("steel", 0.12, 0.31, 0.88, 0.43),
            _line("ink", 0.07, 0.5, 0.36, 0.5, 0.06, 0.68, 0.06, 0.68, 0.18),
        ),
    ),
    "bowl": Shape(
        1.7,
        (0.12, 0.18),
        "surface",
        ("red", "blue", "green", "yellow", "white", "purple"),
        (
            _box("dark", 0.35, 0.88, 0.65, 1),
            _half("main", 0, -0.65, 1, 0.95),
            _disc("dark", 0, 0.0, 1, 0.32),
            _disc("light", 0.07, 0.06, 0.93, 0.27),
        ),
    ),
    "dining table": Shape(
        2.0,
        (0.32, 0.4),
        "floor",
        ("brown", "white", "black", "yellow"),
        (
            _box("dark", 0.06, 0.25, 0.13, 1),
            _box("dark", 0.87, 0.25, 0.94, 1),
            _box("dark", 0.2, 0.25, 0.25, 0.8),
            _box("dark", 0.75, 0.25, 0.8, 0.8),
            _poly("main", 0.12, 0, 0.88, 0, 1, 0.22, 0, 0.22),
            _box("dark", 0, 0.22, 1, 0.34),
        ),
    ),
    "pizza": Shape(
        1.7,
        (0.13, 0.19),
        "surface",
        (),
        (
            _disc("crust", 0, 0, 1, 1),
            _disc("cheese", 0.08, 0.1, 0.92, 0.88),
            *(
                _dot("salami", x, y, 0.075, 0.11)
                for x, y in (
                    (0.3, 0.3),
                    (0.55, 0.25),
                    (0.73, 0.45),
                    (0.25, 0.6),
                    (0.5, 0.55),
                    (0.65, 0.75),
                    (0.42, 0.8),
                )
            ),
        ),
    ),
    "wine glass": Shape(
        0.5,
        (0.2, 0.28),
        "surface",
        (),
        (
            _line("glass", 0.06, 0.5, 0.5, 0.5, 0.95),
            _disc("glass", 0.14, 0.9, 0.86, 1),
            _half("glass", 0.06, -0.55, 0.94, 0.6),
            _half("wine", 0.12, -0.2, 0.88, 0.56),
            _disc("paper", 0.06, 0.0, 0.94, 0.08),
        ),
    ),
    "chair": Shape(
        0.62,
        (0.36, 0.48),
        "floor",
        ("brown", "red", "blue", "white", "black"),
        (
            _box("dark", 0.1, 0, 0.2, 1),
            _box("dark", 0.8, 0, 0.9, 1),
            _box("main", 0.1, 0.03, 0.9, 0.14),
            _box("main", 0.1, 0.24, 0.9, 0.35),
            _poly("main", 0.1, 0.52, 0.9, 0.52, 1, 0.64, 0, 0.64),
            _box("dark", 0, 0.62, 1, 0.68),
            _box("dark", 0.02, 0.66, 0.12, 1),
            _box("dark", 0.88, 0.66, 0.98, 1),
        ),
    ),
    "laptop": Shape(
        1.4,
        (0.22, 0.32),
        "surface",
        ("grey", "black", "white", "pink"),
        (
            _box("main", 0.13, 0, 0.87, 0.68, round=0.04),
            _box("screen", 0.18, 0.07, 0.82, 0.61),
            _box("paper", 0.24, 0.15, 0.55, 0.22),
            _box("paper", 0.24, 0.3, 0.7, 0.37),
            _poly("main", 0.13, 0.7, 0.87, 0.7, 1, 0.94, 0, 0.94),
            _poly("ink", 0.19, 0.73, 0.81, 0.73, 0.87, 0.85, 0.13, 0.85),
            _box("dark", 0, 0.94, 1, 1),
        ),
    ),
    "keyboard": Shape(
        2.9,
        (0.1, 0.14),
        "surface",
        ("black", "white", "grey"),
        (
            _box("main", 0, 0, 1, 1, round=0.12),
            *(_box("keys", 0.04 + 0.094 * i, y, 0.11 + 0.094 * i, y + 0.17) for y in (0.12, 0.4) for i in range(10)),
            _box("keys", 0.04, 0.68, 0.2, 0.86),
            _box("keys", 0.25, 0.68, 0.75, 0.86),
            _box("keys", 0.8, 0.68, 0.96, 0.86),
        ),
    ),
    "cell phone": Shape(
        0.52,
        (0.18, 0.25),
        "surface",
        ("black", "white", "red", "pink"),
        (
            _box("main", 0, 0, 1, 1, round=0.09),
            _box("screen", 0.1, 0.12, 0.9, 0.83),
            *(_box("paper", x, y, x + 0.16, y + 0.1) for x in (0.18, 0.42, 0.66) for y in (0.2, 0.36)),
            _line("keys", 0.025, 0.38, 0.06, 0.62, 0.06),
            _dot("keys", 0.5, 0.915, 0.1, 0.05),
        ),
    ),
    "cup": Shape(
        1.05,
        (0.13, 0.19),
        "surface",
        ("red", "blue", "green", "yellow", "white", "pink"),
        (
            _ring("dark", 0.12, 0.55, 0.24, 1, 0.76),
            _poly("main", 0.02, 0.12, 0.72, 0.12, 0.64, 1, 0.1, 1),
            _disc("dark", 0.02, 0, 0.72, 0.24),
            _disc("wood", 0.09, 0.05, 0.65, 0.2),
        ),
    ),
    "book": Shape(
        0.78,
        (0.17, 0.24),
        "surface",
        ("red", "blue", "green", "brown", "purple"),
        (
            _box("paper", 0.1, 0.04, 1, 0.98),
            _box("main", 0, 0, 0.9, 1),
            _box("dark", 0, 0, 0.16, 1),
            _box("paper", 0.28, 0.16, 0.8, 0.3),
            _box("paper", 0.36, 0.38, 0.72, 0.45),
        ),
    ),
    "car": Shape(
        2.1,
        (0.2, 0.3),
        "floor",
        ("red", "blue", "green", "yellow", "white", "black"),
        (
            _poly("main", 0.18, 0.44, 0.3, 0.04, 0.7, 0.04, 0.86, 0.44),
            _box("main", 0, 0.4, 1, 0.82, round=0.14),
            _poly("glass", 0.25, 0.42, 0.34, 0.12, 0.49, 0.12, 0.49, 0.42),
            _poly("glass", 0.53, 0.42, 0.53, 0.12, 0.67, 0.12, 0.78, 0.42),
            _box("lamp_yellow", 0.93, 0.48, 1, 0.6),
            _box("lamp_red", 0, 0.48, 0.05, 0.6),
            *(_dot("ink", x, 0.8, 0.1, 0.2) for x in (0.22, 0.78)),
            *(_dot("steel", x, 0.8, 0.045, 0.09) for x in (0.22, 0.78)),
        ),
    ),
    "traffic light": Shape(
        0.32,
        (0.42, 0.58),
        "floor",
        (),
        (
            _box("steel", 0.4, 0.5, 0.6, 1),
            _box("ink", 0.05, 0, 0.95, 0.58, round=0.06),
            _dot("lamp_red", 0.5, 0.11, 0.26, 0.08),
            _dot("lamp_yellow", 0.5, 0.29, 0.26, 0.08),
            _dot("lamp_green", 0.5, 0.47, 0.26, 0.08),
        ),
    ),
    "bicycle": Shape(
        1.6,
        (0.26, 0.36),
        "floor",
        ("red", "blue", "green", "black", "pink"),
        (
            _ring("ink", 0.07, 0, 0.4, 0.38, 1),
            _ring("ink", 0.07, 0.62, 0.4, 1, 1),
            _line("main", 0.075, 0.19, 0.7, 0.36, 0.3, 0.7, 0.3, 0.48, 0.72, 0.19, 0.7),
            _line("main", 0.075, 0.48, 0.72, 0.33, 0.2),
            _line("main", 0.075, 0.81, 0.7, 0.68, 0.12),
            _line("ink", 0.08, 0.6, 0.1, 0.74, 0.08),
            _line("ink", 0.1, 0.26, 0.18, 0.42, 0.18),
        ),
    ),
    "bus": Shape(
        2.1,
        (0.3, 0.42),
        "floor",
        ("red", "blue", "green", "yellow"),
        (
            _box("main", 0, 0, 1, 0.87, round=0.1),
            *(_box("glass", x, 0.14, x + 0.15, 0.44) for x in (0.05, 0.24, 0.43, 0.62)),
            _box("ink", 0.81, 0.12, 0.95, 0.82),
            _box("glass", 0.83, 0.15, 0.93, 0.78),
            _box("light", 0, 0.54, 0.78, 0.62),
            *(_dot("ink", x, 0.86, 0.075, 0.14) for x in (0.2, 0.68)),
            *(_dot("steel", x, 0.86, 0.03, 0.06) for x in (0.2, 0.68)),
        ),
    ),
    "stop sign": Shape(
        0.5,
        (0.4, 0.54),
        "floor",
        (),
        (
            _box("steel", 0.44, 0.4, 0.56, 1),
            _poly("paper", 0.29, 0, 0.71, 0, 1, 0.145, 1, 0.355, 0.71, 0.5, 0.29, 0.5, 0, 0.355, 0, 0.145),
            _poly(
                "lamp_red",
                0.31,
                0.03,
                0.69,
                0.03,
                0.94,
                0.16,
                0.94,
                0.34,
                0.69,
                0.47,
                0.31,
                0.47,
                0.06,
                0.34,
                0.06,
                0.16,
            ),
            _box("paper", 0.16, 0.2, 0.84, 0.3),
        ),
    ),
    "couch": Shape(
        2.0,
        (0.28, 0.38),
        "floor",
        ("red", "blue", "green", "brown", "grey", "purple"),
        (
            _box("ink", 0.06, 0.9, 0.12, 1),
            _box("ink", 0.88, 0.9, 0.94, 1),
            _box("main", 0.08, 0, 0.92, 0.7, round=0.16),
            _box("light", 0.14, 0.5, 0.86, 0.74, round=0.06),
            _box("main", 0.1, 0.7, 0.9, 0.94),
            _box("dark", 0.495, 0.06, 0.505, 0.74),
            _box("dark", 0, 0.3, 0.17, 0.94, round=0.12),
            _box("dark", 0.83, 0.3, 1, 0.94, round=0.12),
        ),
    ),
    "tv": Shape(
        1.5,
        (0.24, 0.34),
        "surface",
        (),
        (
            _box("ink", 0.44, 0.8, 0.56, 0.95),
            _box("ink", 0.26, 0.93, 0.74, 1),
            _box("ink", 0, 0, 1, 0.84, round=0.04),
            _box("glass", 0.05, 0.07, 0.95, 0.77),
            _poly("leaf2", 0.05, 0.77, 0.05, 0.6, 0.35, 0.42, 0.6, 0.62, 0.95, 0.5, 0.95, 0.77),
            _dot("lamp_yellow", 0.78, 0.24, 0.08, 0.12),
        ),
    ),
    "potted plant": Shape(
        0.8,
        (0.28, 0.4),
        "floor",
        ("brown", "red", "blue", "white", "yellow"),
        (
            _line("leaf", 0.05, 0.5, 0.66, 0.5, 0.2),
            _poly("leaf", 0.5, 0.66, 0.3, 0.4, 0.36, 0.02, 0.5, 0.3),
            _poly("leaf2", 0.5, 0.66, 0.5, 0.3, 0.66, 0.0, 0.72, 0.4),
            _poly("leaf", 0.5, 0.66, 0.12, 0.55, 0.0, 0.22, 0.34, 0.4),
            _poly("leaf2", 0.5, 0.66, 0.66, 0.42, 1.0, 0.24, 0.88, 0.56),
            _poly("main", 0.22, 0.68, 0.78, 0.68, 0.68, 1, 0.32, 1),
            _box("dark", 0.17, 0.6, 0.83, 0.71),
        ),
    ),
    "clock": Shape(
        1.0,
        (0.16, 0.24),
        "wall",
        ("red", "blue", "brown", "black", "green"),
        (
            _disc("main", 0, 0, 1, 1),
            _disc("paper", 0.12, 0.12, 0.88, 0.88),
            *(_dot("ink", x, y, 0.035, 0.035) for x, y in ((0.5, 0.2), (0.8, 0.5), (0.5, 0.8), (0.2, 0.5))),
            _line("ink", 0.08, 0.5, 0.5, 0.5, 0.24),
            _line("ink", 0.08, 0.5, 0.5, 0.7, 0.6),
        ),
    ),
    "toilet": Shape(
        0.72,
        (0.36, 0.46),
        "floor",
        ("white", "pink", "blue", "grey"),
        (
            _poly("dark", 0.3, 0.6, 0.7, 0.6, 0.8, 1, 0.2, 1),
            _box("main", 0.08, 0, 0.92, 0.4, round=0.04),
            _box("dark", 0.05, 0, 0.95, 0.07),
            _box("steel", 0.16, 0.12, 0.34, 0.17),
            _half("main", 0.04, 0.2, 0.96, 0.84),
            _disc("light", 0.02, 0.42, 0.98, 0.62),
            _disc("ink", 0.18, 0.455, 0.82, 0.585),
        ),
    ),
    "toothbrush": Shape(
        0.34,
        (0.2, 0.28),
        "surface",
        ("red", "blue", "green", "pink", "purple"),
        (
            _box("main", 0.5, 0, 0.85, 0.34, round=0.05),
            *(_box("paper", 0.0, y, 0.55, y + 0.045) for y in (0.02, 0.085, 0.15, 0.215, 0.28)),
            _box("main", 0.56, 0.3, 0.8, 0.6),
            _box("main", 0.46, 0.52, 0.9, 1, round=0.06),
            _box("light", 0.58, 0.6, 0.78, 0.9),
        ),
    ),
    "bottle": Shape(
        0.38,
        (0.2, 0.3),
        "surface",
        ("green", "blue", "brown", "yellow", "purple"),
        (
            _box("main", 0.3, 0.06, 0.7, 0.45),
            _box("main", 0, 0.32, 1, 1, round=0.1),
            _box("ink", 0.26, 0, 0.74, 0.09),
            _box("paper", 0, 0.55, 1, 0.82),
            _box("dark", 0.15, 0.64, 0.85, 0.72),
        ),
    ),
    "bed": Shape(
        1.8,
        (0.34, 0.44),
        "floor",
        ("red", "blue", "green", "purple", "yellow", "grey"),
        (
            _box("wood", 0, 0, 0.08, 1),
            _box("wood", 0.93, 0.4, 1, 1),
            _box("wood", 0.04, 0.74, 0.96, 0.88),
            _box("paper", 0.06, 0.46, 0.95, 0.76, round=0.05),
            _box("paper", 0.1, 0.28, 0.36, 0.52, round=0.09),
            _box("main", 0.4, 0.4, 0.95, 0.8, round=0.05),
            _box("light", 0.4, 0.4, 0.48, 0.8),
        ),
    ),
    "teddy bear": Shape(
        0.82,
        (0.24, 0.33),
        "surface",
        ("brown", "pink", "white", "yellow"),
        (
            *(_dot("dark", x, 0.09, 0.13, 0.1) for x in (0.26, 0.74)),
            *(_dot("dark", x, 0.9, 0.17, 0.1) for x in (0.24, 0.76)),
            _poly("dark", 0.3, 0.45, 0.02, 0.6, 0.1, 0.72, 0.36, 0.62),
            _poly("dark", 0.7, 0.45, 0.98, 0.6, 0.9, 0.72, 0.64, 0.62),
            _disc("main", 0.22, 0.38, 0.78, 0.97),
            _disc("light", 0.34, 0.52, 0.66, 0.86),
            _disc("main", 0.2, 0.03, 0.8, 0.48),
            _disc("light", 0.37, 0.25, 0.63, 0.44),
            *(_dot("ink", x, 0.2, 0.045, 0.035) for x in (0.38, 0.62)),
            _dot("ink", 0.5, 0.29, 0.06, 0.035),
        ),
    ),
    "bench": Shape(
        1.9,
        (0.26, 0.34),
        "floor",
        ("brown", "green", "red", "grey"),
        (
            _box("ink", 0.1, 0.05, 0.15, 1),
            _box("ink", 0.85, 0.05, 0.9, 1),
            _box("main", 0, 0.02, 1, 0.16),
            _box("main", 0, 0.24, 1, 0.38),
            _box("main", 0, 0.52, 1, 0.6),
            _box("dark", 0, 0.6, 1, 0.7),
        ),
    ),
    "dog": Shape(
        1.35,
        (0.22, 0.32),
        "floor",
        ("brown", "black", "white", "grey"),
        (
            _line("main", 0.09, 0.12, 0.45, 0.02, 0.14),
            *(_box("dark", x, 0.6, x + 0.09, 1) for x in (0.14, 0.6)),
            *(_box("main", x, 0.6, x + 0.09, 1) for x in (0.25, 0.5)),
            _box("main", 0.1, 0.36, 0.72, 0.74, round=0.16),
            _poly("main", 0.55, 0.6, 0.58, 0.2, 0.78, 0.1, 0.78, 0.6),
            _disc("main", 0.56, 0.04, 0.88, 0.44),
            _box("main", 0.74, 0.2, 1, 0.4, round=0.08),
            _dot("ink", 0.97, 0.25, 0.035, 0.05),
            _poly("dark", 0.56, 0.06, 0.68, 0.08, 0.66, 0.42, 0.53, 0.38),
            _dot("ink", 0.77, 0.18, 0.025, 0.035),
        ),
    ),
    "bird": Shape(
        1.35,
        (0.14, 0.21),
        "sky",
        ("red", "blue", "yellow", "black", "white"),
        (
            _poly("dark", 0.0, 0.3, 0.3, 0.45, 0.25, 0.72, 0.02, 0.55),
            _line("ink", 0.05, 0.45, 0.8, 0.45, 1),
            _line("ink", 0.05, 0.56, 0.8, 0.56, 1),
            _disc("main", 0.16, 0.3, 0.78, 0.86),
            _disc("main", 0.56, 0.05, 0.88, 0.52),
            _poly("glow", 0.84, 0.2, 1, 0.3, 0.84, 0.4),
            _poly("dark", 0.28, 0.44, 0.6, 0.5, 0.3, 0.78),
            _dot("ink", 0.76, 0.22, 0.035, 0.05),
        ),
    ),
    "kite": Shape(
        0.72,
        (0.28, 0.38),
        "sky",
        ("red", "blue", "green", "yellow", "purple", "pink"),
        (
            _line("ink", 0.025, 0.5, 0.6, 0.4, 0.75, 0.58, 0.86, 0.45, 1),
            _poly("main", 0.5, 0, 0.95, 0.24, 0.5, 0.66, 0.05, 0.24),
            _poly("light", 0.5, 0, 0.5, 0.24, 0.05, 0.24),
            _poly("light", 0.5, 0.24, 0.95, 0.24, 0.5, 0.66),
            _poly("lamp_red", 0.28, 0.7, 0.44, 0.76, 0.3, 0.83),
            _poly("lamp_yellow", 0.7, 0.81, 0.54, 0.87, 0.72, 0.94),
        ),
    ),
}
"""All objects of the world, in the order of their drawings."""

OBJECTS: tuple[str, ...] = tuple(SHAPES)
