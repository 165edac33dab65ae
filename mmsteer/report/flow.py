"""A feature's flow as a drawing: layers from left to right, the residual stream between attention and MLP."""

from pathlib import Path

from markupsafe import Markup

from mmsteer.atomic import write_atomically
from mmsteer.report.svg import Element, as_file, drawing, element
from mmsteer.sae.flow import Flow, Link, Node

LANES = {"attention": 0, "block": 1, "mlp": 2}
NAMES = {"attention": "attention", "block": "stream", "mlp": "MLP"}
COLUMN, LANE, LEFT, TOP = 130.0, 70.0, 110.0, 46.0

_STYLE = """text{font:12px system-ui,sans-serif;fill:currentColor}
.faint{opacity:.6}.link{stroke:currentColor;fill:none}
.node{fill:currentColor}.start{fill:none;stroke:currentColor;stroke-width:2}"""


def draw_flow(flow: Flow, title: str = "") -> Markup:
    """Features as dots with their numbers, links as thick as their cosines; a ring marks the one that was followed.

    `title`: what the feature stands for; the site and number where it is left empty.
    """
    layers = sorted({node.site.layer for node in flow.nodes})
    columns = {layer: LEFT + COLUMN * (place + 0.5) for place, layer in enumerate(layers)}
    width, height = LEFT + COLUMN * len(layers), TOP + 3 * LANE + 10
    parts = [
        element("style", text=_STYLE),
        _words(title or f"Flow of {flow.start}", 8, 18, "start"),
        *(_words(f"layer {layer}", x, TOP - 6, "middle", "faint") for layer, x in columns.items()),
        *(_words(NAMES[lane], 8, _height(lane) + 4, "start", "faint") for lane in LANES),
        *(part for link in flow.links for part in _link(link, columns)),
        *(part for node in flow.nodes for part in _node(flow, node, columns)),
    ]
    return drawing(width, height, f"Flow of feature {flow.start} through {len(layers)} layers", parts, "flow")


def save_flow(flow: Flow, path: str | Path, title: str = "") -> None:
    """Write the drawing as a file that browsers open."""
    write_atomically(Path(path), as_file(draw_flow(flow, title)))


def _link(link: Link, columns: dict[int, float]) -> list[Element]:
    (x1, y1), (x2, y2) = _place(link.source, columns), _place(link.target, columns)
    note = element("title", text=f"{link.source} to {link.target}: cosine {link.score:.3f}")
    path = element(
        "path", note, d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}", kind="link", stroke_width=max(0.5, 4 * link.score)
    )
    return [path, _words(f"{link.score:.2f}", (x1 + x2) / 2 + 4, (y1 + y2) / 2 - 5, "middle", "faint")]


def _node(flow: Flow, node: Node, columns: dict[int, float]) -> list[Element]:
    x, y = _place(node, columns)
    origin = flow.origins.get(node)
    note = element("title", text=f"{node}{f', {origin}' if origin else ''}")
    ring = [element("circle", cx=x, cy=y, r=9, kind="start")] if node == flow.start else []
    words = [_words(str(node.feature), x, y - 13, "middle")]
    if origin:
        words.append(_words(origin, x, y + 22, "middle", "faint"))
    return [*ring, element("circle", note, cx=x, cy=y, r=5, kind="node"), *words]


def _place(node: Node, columns: dict[int, float]) -> tuple[float, float]:
    # What a layer adds stands a little before what it becomes.
    shift = 0.0 if node.site.point == "block" else -0.3 * COLUMN
    return columns[node.site.layer] + shift, _height(node.site.point)


def _height(point: str) -> float:
    return TOP + LANE * (LANES[point] + 0.5)


def _words(text: str, x: float, y: float, anchor: str, kind: str = "") -> Element:
    return element("text", text=text, x=x, y=y, text_anchor=anchor, kind=kind)
