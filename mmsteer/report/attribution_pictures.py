"""Pictures of an attribution: marked text, a heat map over the image, a shaded spectrogram, or a grid of components."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mmsteer.attribution import TECHNIQUES, Attribution
from mmsteer.report.frames import Clip, shaded_frames
from mmsteer.report.shades import cell, data_url, shades
from mmsteer.report.svg import drawing, element

SIDE, WIDEST = 22, 420
"""Of a cell of a grid, and of an image, in pixels."""
_NOT_SQUARE = "the image is not square, and which part of it the patches are of is not known"


@dataclass(frozen=True)
class Seen:
    """An image that patches are of.

    Attributes:
        href: Where a page finds it.
        ratio: Its width over its height.
    """

    href: str
    ratio: float


def inlined(image: Any) -> Seen:
    """An image inside the page.

    Args:
        image: The PIL image.
    """
    file = io.BytesIO()
    image.save(file, format="PNG")
    return Seen(data_url(file.getvalue(), "image/png"), image.width / image.height)


def attribution_picture(found: Attribution, image: Seen | None = None, clip: Clip | None = None) -> Markup:
    """The picture; empty where a list alone says it.

    Args:
        found: The attribution.
        image: The image, where the units are its patches.
        clip: The clip, where the units are its frames.
    """
    if clip is not None:
        return shaded_frames(found, clip)
    if image is not None:
        return heat_map(found, image) if image.ratio == 1 else no_map(_NOT_SQUARE)
    if found.kind == "tokens":
        return _text(found)
    grid = _sites(found.names) if found.kind == "components" else {}
    return _component_grid(found, grid) if grid else Markup()


def no_map(why: str) -> Markup:
    """What stands in the place of a heat map.

    Args:
        why: There is none.
    """
    return Markup("<p>no heat map: {}</p>").format(why)


def legend(technique: str) -> str:
    """What shades and values mean.

    Args:
        technique: By which they were found.
    """
    known = TECHNIQUES[technique]
    shades = "The darker, the larger" if known.is_size else "Blue raises the number, red lowers it"
    return f"{shades}. A unit's value is {known.meaning}."


def explained(found: Attribution) -> str:
    """The number at both ends, and what the values leave of the difference, where they add up.

    Args:
        found: The attribution.
    """
    left = "" if found.missing is None else f", {found.missing:+.3f} unexplained"
    return f"{found.whole:.3f} with all, {found.nothing:.3f} with none{left}"


def heat_map(found: Attribution, image: Seen) -> Markup:
    """Patches over the image that they are of, row by row; each is shaded by its size.

    `found`: its units are the patches of one image.
    `image`: the image.
    """
    rows, columns = grid_of(len(found.values), image.ratio)
    width, height = WIDEST, WIDEST / image.ratio
    across, down = width / columns, height / rows
    parts = [element("image", href=image.href, width=width, height=height, preserveAspectRatio="none")]
    parts += [
        cell(at % columns * across, at // columns * down, across, down, shade, f"{name}: {float(value):+.3f}")
        for at, (name, value, shade) in enumerate(zip(found.names, found.values, shades(found.values), strict=True))
    ]
    return drawing(width, height, f"what {len(found.values)} patches have to do with the output", parts, "heat")


def grid_of(patches: int, ratio: float) -> tuple[int, int]:
    """Rows and columns of the patches of an image.

    `ratio`: its width over its height.

    >>> grid_of(36, 1.0), grid_of(8, 2.0), grid_of(7, 4.0)
    ((6, 6), (2, 4), (1, 7))
    """
    pairs = [(rows, patches // rows) for rows in range(1, patches + 1) if patches % rows == 0]
    return min(pairs, key=lambda pair: abs(pair[1] / pair[0] - ratio))


def _text(found: Attribution) -> Markup:
    spans = [
        Markup('<span class="{}" style="--by: {:.2f}" title="{:+.3f}">{}</span>').format(
            "more" if value >= 0 else "less", 0.8 * shade, float(value), name
        )
        for name, value, shade in zip(found.names, found.values, map(abs, shades(found.values)), strict=True)
    ]
    return Markup('<p class="text">{}</p>').format(Markup().join(spans))


def _sites(names: Sequence[str]) -> Mapping[tuple[int, str], int]:
    """Layers and points of components, with their place."""
    found = [re.fullmatch(r"[a-z_]+\.(\d+)\.(.+)", name) for name in names]
    return {(int(one[1]), one[2]): at for at, one in enumerate(found) if one}


def _component_grid(found: Attribution, grid: Mapping[tuple[int, str], int]) -> Markup:
    layers = sorted({layer for layer, _ in grid})
    points = list(dict.fromkeys(point for _, point in grid))
    by, left, top = shades(found.values), 76, 20
    parts = [element("text", text=str(layer), x=left + at * SIDE + 4, y=14) for at, layer in enumerate(layers)]
    parts += [element("text", text=point, x=2, y=top + at * SIDE + 15) for at, point in enumerate(points)]
    for (layer, point), at in grid.items():
        x, y = left + layers.index(layer) * SIDE, top + points.index(point) * SIDE
        parts.append(cell(x, y, SIDE - 1, SIDE - 1, by[at], f"{found.names[at]}: {float(found.values[at]):+.3f}"))
    width, height = left + len(layers) * SIDE, top + len(points) * SIDE
    return drawing(width, height, "what each component has to do with the output, by layer", parts, "components")
