"""Small vector drawings, coloured by the page's style sheet so that they follow light and dark."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree

from markupsafe import Markup

Element = ElementTree.Element
Point = tuple[float, float | None]
RADII = {"dot": 4.2, "ring": 3.8, "chosen": 7.5}
PATHS = {
    "triangle": (0.0, -4.6, "l4.6 8h-9.2z"),
    "wedge": (0.0, 4.6, "l4.6 -8h-9.2z"),
    "diamond": (0.0, -5.6, "l5.6 5.6l-5.6 5.6l-5.6 -5.6z"),
    "hollow": (0.0, -5.6, "l5.6 5.6l-5.6 5.6l-5.6 -5.6z"),
    "tick": (0.0, -7.0, "v14"),
}
"""Shapes of marks: where they begin, and how they go on."""


def element(tag: str, *children: Element, text: str | None = None, **attributes: str | float) -> Element:
    """An element; `_` in a name stands for `-`, and `kind` for `class`."""
    names = {"kind": "class"}
    made = Element(tag, {names.get(key, key.replace("_", "-")): _written(value) for key, value in attributes.items()})
    made.text = text
    made.extend(children)
    return made


def drawing(
    width: float, height: float, label: str, parts: Iterable[Element], kind: str, *, stretch: bool = False
) -> Markup:
    """A whole drawing.

    `label`: what it shows, for those who cannot see it.
    `stretch`: fill the place it is given, whatever its proportions.
    """
    box = {"viewBox": f"0 0 {_written(width)} {_written(height)}", "role": "img", "aria-label": label, "class": kind}
    fit = {"preserveAspectRatio": "none"} if stretch else {"width": _written(width), "height": _written(height)}
    root = Element("svg", box | fit)
    root.extend(parts)
    # Escaped by ElementTree.
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def as_file(picture: Markup) -> bytes:
    """A drawing as a file of its own: inside a page it needs no namespace."""
    return str(picture).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).encode()


@dataclass(frozen=True)
class Axis:
    """Values → pixels.

    `low`: value at `start`.
    `high`: value at `stop`.
    """

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Where a value lies."""
        return self.start + (value - self.low) / (self.high - self.low or 1.0) * (self.stop - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values along the axis."""
        rough = (self.high - self.low or 1.0) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def line(x: Axis, y: Axis, points: Sequence[Point], kind: str) -> Element:
    """A line through points, broken where a value is missing; points that change nothing are left out."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((round(x(at), 1), round(y(value), 1)))
    path = "".join("M" + "L".join(f"{_written(a)} {_written(b)}" for a, b in _bends(run)) for run in runs if run)
    return element("path", d=path, kind=kind)


def marker(shape: str, x: float, y: float, kind: str, note: str) -> Element:
    """A mark with a note that shows when it is pointed at.

    `shape`: `dot`, `ring`, `chosen`, or one of `PATHS`.
    """
    title = element("title", text=note)
    if shape in RADII:
        return element("circle", title, cx=x, cy=y, r=RADII[shape], kind=f"{shape} {kind}")
    dx, dy, path = PATHS[shape]
    return element("path", title, d=f"M{x + dx:.1f} {y + dy:.1f}{path}", kind=f"{shape} {kind}")


def frame(x: Axis, y: Axis, titles: tuple[str, str], right: tuple[Axis, str] | None = None) -> list[Element]:
    """Grid, numbers and titles of a pair of axes.

    `right`: a second vertical axis and its title.
    """
    parts = []
    for value in y.ticks():
        parts.append(element("path", d=f"M{x.start:.1f} {y(value):.1f}H{x.stop:.1f}", kind="rule"))
        parts.append(_words(f"{value:.3g}", x.start - 6, y(value) + 3.5, "end"))
    parts += [_words(f"{value:.3g}", x(value), y.start + 16, "middle") for value in x.ticks()]
    parts.append(_words(titles[0], (x.start + x.stop) / 2, y.start + 33, "middle", "title"))
    parts.append(_words(titles[1], x.start - 30, y.stop - 12, "start", "title"))
    if right:
        axis, title = right
        parts += [_words(f"{value:.3g}", x.stop + 6, axis(value) + 3.5, "start") for value in axis.ticks()]
        parts.append(_words(title, x.stop + 30, y.stop - 12, "end", "title"))
    return parts


def _words(text: str, x: float, y: float, anchor: str, kind: str = "number") -> Element:
    return element(
        "text", text=text.replace("-", "\u2212") if kind == "number" else text, x=x, y=y, text_anchor=anchor, kind=kind
    )


def _bends(run: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The run without the points that lie on the line between their neighbours."""
    kept = run[:1]
    for (c, d), (e, f) in pairwise(run[1:]):
        a, b = kept[-1]
        if abs((c - a) * (f - b) - (e - a) * (d - b)) > 0.02 * abs(e - a):
            kept.append((c, d))
    return kept + run[1:][-1:]


def _written(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
