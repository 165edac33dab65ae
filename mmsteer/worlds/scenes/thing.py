"""One object in its place."""

from dataclasses import dataclass

from mmsteer.worlds.scenes.shapes import SHAPES, Rgb


@dataclass(frozen=True)
class Thing:
    """One object in its place; lengths are shares of the image's side.

    Attributes:
        name: Its class.
        x: Horizontal middle.
        base: Lowest point.
        height: Height; the width follows from the class.
        colour: Name of its colour, "" where the class has colours of its own.
        tint: That colour as drawn.
        opacity: 1 is full contrast, less lets the background through.
        flipped: Whether left and right are exchanged.
        depth: Things of larger depth are drawn later, over the others.
        on: What it stands on, "" for the ground, wall or ledge.
    """

    name: str
    x: float
    base: float
    height: float
    colour: str
    tint: Rgb
    opacity: float
    flipped: bool
    depth: float
    on: str = ""

    @property
    def width(self) -> float:
        """Width as a share of the image's side."""
        return self.height * SHAPES[self.name].aspect

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        return self.x - self.width / 2, self.base - self.height, self.x + self.width / 2, self.base
