"""What stands in the street."""

from collections.abc import Mapping

from mmsteer.worlds.scenes.shapes.brush import Shape, box, dot, line, poly, ring

STREET: Mapping[str, Shape] = {
    "car": Shape(
        2.1,
        (0.2, 0.3),
        "floor",
        ("red", "blue", "green", "yellow", "white", "black"),
        (
            poly("main", 0.18, 0.44, 0.3, 0.04, 0.7, 0.04, 0.86, 0.44),
            box("main", 0, 0.4, 1, 0.82, round=0.14),
            poly("glass", 0.25, 0.42, 0.34, 0.12, 0.49, 0.12, 0.49, 0.42),
            poly("glass", 0.53, 0.42, 0.53, 0.12, 0.67, 0.12, 0.78, 0.42),
            box("lamp_yellow", 0.93, 0.48, 1, 0.6),
            box("lamp_red", 0, 0.48, 0.05, 0.6),
            *(dot("ink", x, 0.8, 0.1, 0.2) for x in (0.22, 0.78)),
            *(dot("steel", x, 0.8, 0.045, 0.09) for x in (0.22, 0.78)),
        ),
    ),
    "traffic light": Shape(
        0.32,
        (0.42, 0.58),
        "floor",
        (),
        (
            box("steel", 0.4, 0.5, 0.6, 1),
            box("ink", 0.05, 0, 0.95, 0.58, round=0.06),
            dot("lamp_red", 0.5, 0.11, 0.26, 0.08),
            dot("lamp_yellow", 0.5, 0.29, 0.26, 0.08),
            dot("lamp_green", 0.5, 0.47, 0.26, 0.08),
        ),
    ),
    "bicycle": Shape(
        1.6,
        (0.26, 0.36),
        "floor",
        ("red", "blue", "green", "black", "pink"),
        (
            ring("ink", 0.07, 0, 0.4, 0.38, 1),
            ring("ink", 0.07, 0.62, 0.4, 1, 1),
            line("main", 0.075, 0.19, 0.7, 0.36, 0.3, 0.7, 0.3, 0.48, 0.72, 0.19, 0.7),
            line("main", 0.075, 0.48, 0.72, 0.33, 0.2),
            line("main", 0.075, 0.81, 0.7, 0.68, 0.12),
            line("ink", 0.08, 0.6, 0.1, 0.74, 0.08),
            line("ink", 0.1, 0.26, 0.18, 0.42, 0.18),
        ),
    ),
    "bus": Shape(
        2.1,
        (0.3, 0.42),
        "floor",
        ("red", "blue", "green", "yellow"),
        (
            box("main", 0, 0, 1, 0.87, round=0.1),
            *(box("glass", x, 0.14, x + 0.15, 0.44) for x in (0.05, 0.24, 0.43, 0.62)),
            box("ink", 0.81, 0.12, 0.95, 0.82),
            box("glass", 0.83, 0.15, 0.93, 0.78),
            box("light", 0, 0.54, 0.78, 0.62),
            *(dot("ink", x, 0.86, 0.075, 0.14) for x in (0.2, 0.68)),
            *(dot("steel", x, 0.86, 0.03, 0.06) for x in (0.2, 0.68)),
        ),
    ),
    "stop sign": Shape(
        0.5,
        (0.4, 0.54),
        "floor",
        (),
        (
            box("steel", 0.44, 0.4, 0.56, 1),
            poly("paper", 0.29, 0, 0.71, 0, 1, 0.145, 1, 0.355, 0.71, 0.5, 0.29, 0.5, 0, 0.355, 0, 0.145),
            poly(
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
            box("paper", 0.16, 0.2, 0.84, 0.3),
        ),
    ),
}
