"""Values as shades: blue for what raises a number, red for what lowers it."""

import base64

from torch import Tensor

from mmsteer.report.svg import Element, element


def shades(values: Tensor) -> list[float]:
    """Values between -1 and 1, of which the largest is 1 in size."""
    most = float(values.abs().max()) or 1.0
    return [float(value) / most for value in values]


def cell(x: float, y: float, width: float, height: float, shade: float, note: str) -> Element:
    """A shaded rectangle.

    `shade`: between -1 and 1.
    `note`: shows when it is pointed at.
    """
    kind = "more" if shade >= 0 else "less"
    titled = element("title", text=note)
    return element("rect", titled, x=x, y=y, width=width, height=height, kind=kind, fill_opacity=0.75 * abs(shade))


def data_url(file: bytes, kind: str) -> str:
    """A file inside the page.

    `kind`: its media type, such as `image/png`.
    """
    return f"data:{kind};base64,{base64.b64encode(file).decode()}"
