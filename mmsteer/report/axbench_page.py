"""AxBench as a page: the table, the order beside the paper's, and what steered models said."""

from collections.abc import Sequence
from math import ceil

from markupsafe import Markup

from mmsteer.axbench import Results
from mmsteer.axbench.results import Row, agreement, paper_order
from mmsteer.report.rendering import render
from mmsteer.report.svg import Axis, drawing, element, frame, marker
from mmsteer.types import Score

WIDTH, HEIGHT = 560, 320
EXAMPLES = 4
"""Concepts whose answers are shown."""
TITLES = {"overall": "steering", "auroc": "detection"}
AXES = ("concept", "instruction", "fluency")
HEADINGS = ("method", "AUROC", "F1 at 1 %", "steering, 0 to 2", *AXES, "factor", "unscored")

_STYLE = """svg text{font:11px system-ui,sans-serif;fill:currentColor}svg .rule{stroke:currentColor;opacity:.15}
svg .steered{fill:#06c}"""


def axbench_page(name: str, judge: str, found: Results) -> str:
    """The page; it needs nothing but itself.

    Args:
        name: Of the run.
        judge: Who rated answers.
        found: The table.
    """
    return render(
        "axbench.html.j2",
        name=name,
        judge=judge,
        found=found,
        headings=HEADINGS,
        rows=[cells(row) for row in found.rows],
        orders=[order(found, what) for what in TITLES],
        picture=_picture(found.rows),
        answers=_answers(found),
    )


def cells(row: Row) -> list[str]:
    """A method's line of the table, one text a heading.

    Args:
        row: The method.
    """
    scores = [row.auroc, row.f1, row.overall, *row.axes.values()]
    return [row.method, *(_shown(one) for one in scores), f"{row.factor:g}", str(row.unscored)]


def order(found: Results, what: str) -> str:
    """Both orders in words, with how many pairs of methods stand the same way round.

    Args:
        found: The table.
        what: `auroc` or `overall`.
    """
    mine = found.order(what)
    paper = paper_order(what, mine)
    same, pairs = agreement(mine, paper)
    return (
        f"Order of {TITLES[what]} here: {', '.join(mine)}. In the paper: {', '.join(paper)}. "
        f"{same} of {pairs} pairs stand the same way round."
    )


def _shown(score: Score | None) -> str:
    return "" if score is None else str(score)


def _picture(rows: Sequence[Row]) -> Markup:
    both = [
        (row.method, row.auroc.value, row.overall.value)
        for row in rows
        if row.auroc is not None and row.auroc.value is not None and row.overall.value is not None
    ]
    top = ceil(2 * max((steered for *_, steered in both), default=2.0)) / 2 or 0.5
    x, y = Axis(0.0, 1.0, 44, WIDTH - 16), Axis(0.0, top, HEIGHT - 48, 28)
    parts = [element("style", text=_STYLE), *frame(x, y, ("AUROC of detection", "steering"))]
    for name, found, steered in both:
        at = x(found), y(steered)
        parts += [marker("dot", *at, "steered", name)]
        parts += [element("text", text=name, x=at[0] - 6, y=at[1] + 3, text_anchor="end")]
    return drawing(WIDTH, HEIGHT, f"steering against detection of {len(both)} methods", parts, "chart")


def _answers(found: Results) -> list[tuple[str, list[dict[str, str]]]]:
    shown = []
    for record in found.records[:EXAMPLES]:
        lines = [
            {"method": name, "rating": _rating(one["answers"][0])} | {key: one["answers"][0][key] for key in _WORDS}
            for name, one in record["methods"].items()
        ]
        shown.append((record["text"], lines))
    return shown


_WORDS = ("prompt", "answer")


def _rating(answer: dict[str, float | None]) -> str:
    values = [answer[axis] for axis in AXES]
    return " ".join("-" if one is None else f"{one:g}" for one in values)
