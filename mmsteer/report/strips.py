"""Small pictures: notes over time, an interval on a scale, a table of scores as heat."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

from mmsteer.report.output_parts import Notes
from mmsteer.report.parts import Metric, ProbeTable
from mmsteer.report.svg import Axis, Element, drawing, element, marker
from mmsteer.report.wording import CONTROLS, bracket, digits, number
from mmsteer.types.pitch import PITCH_CLASSES

SHAPES = {
    "unsteered": "ring",
    "random": "triangle",
    "searched": "triangle",
    "wrong_image": "wedge",
    "shuffled": "wedge",
}
"""What stands for each control."""


def note_strip(notes: Notes, wanted: Sequence[str]) -> Markup:
    """The strongest pitch class over time: left to right the clip, C at the bottom, B at the top.

    `wanted`: notes to show in colour, in the order of the colours.
    """
    classes = notes.trace.classes
    boxes: dict[int, list[str]] = {}
    at = 0
    for pitch, run in groupby(classes):
        length = len(list(run))
        if 0 <= pitch < 12:
            boxes.setdefault(pitch, []).append(f"M{at} {11 - pitch}h{length}v1h-{length}z")
        at += length
    colours = {PITCH_CLASSES.index(name): f"c{index}" for index, name in enumerate(wanted) if name in PITCH_CLASSES}
    rows = [element("rect", x=0, y=11 - pitch, width=at, height=1, kind=f"wanted {c}") for pitch, c in colours.items()]
    notes_drawn = [element("path", d="".join(path), kind=colours.get(pitch, "other")) for pitch, path in boxes.items()]
    return drawing(max(at, 1), 12, _heard_over_time(notes), [*rows, *notes_drawn], "strip", stretch=True)


def interval_picture(name: str, metric: Metric) -> Markup:
    """A score with its interval on a scale from 0 to 1, or as far as it goes, beside its controls and chance."""
    places, score = digits(name), metric.steered
    top = _end(metric)
    x = Axis(0.0, top, 6, 154)
    parts: list[Element] = [element("path", d="M6 9H154", kind="rule")]
    if metric.chance is not None:
        parts.append(marker("tick", x(metric.chance), 9, "chance", f"chance {number(metric.chance)}"))
    others = {"unsteered": metric.unsteered} | metric.controls
    for kind, other in others.items():
        if other and other.value is not None:
            note = f"{CONTROLS.get(kind, kind)} {number(other.value, places)} {bracket(other, places)}"
            parts.append(marker(SHAPES[kind], x(other.value), 9, "grey", note))
    spoken = f"steered {number(score.value, places)} {bracket(score, places)}"
    if score.value is not None and score.low is not None and score.high is not None:
        parts.append(element("path", d=f"M{x(score.low):.1f} 9H{x(score.high):.1f}", kind="whisker c0"))
        parts.append(marker("dot", x(score.value), 9, "c0", spoken))
    return drawing(160, 18, f"{spoken} between 0 and {top:.3g}", parts, "interval")


def _end(metric: Metric) -> float:
    """The end of its scale: 1, unless a score lies above."""
    scores = [metric.steered, metric.unsteered, *metric.controls.values()]
    ends = [end for score in scores if score for end in (score.value, score.high) if end is not None]
    return max([1.0, *ends])


def heat_strip(table: ProbeTable) -> Markup:
    """A probe's scores, a column for each site and a row for each label; the fuller the colour, the higher."""
    low, high = heat_range(table)
    cell, left, top = min(26.0, max(9.0, 460 / max(1, len(table.rows)))), 58, 20
    parts: list[Element] = []
    step = max(1, len(table.rows) // 12)
    for column, row in enumerate(table.rows):
        if column % step == 0:
            x = left + column * cell + cell / 2
            parts.append(
                element("text", text=row.site.split(".", 1)[-1], x=x, y=13, text_anchor="middle", kind="number")
            )
    for line, label in enumerate(table.labels):
        y = top + line * 16
        parts.append(element("text", text=label[:8], x=left - 6, y=y + 12, text_anchor="end", kind="number"))
        for column, row in enumerate(table.rows):
            score = row.labels.get(label)
            note = element("title", text=f"{label} at {row.site}: {number(score)}")
            fill = 0.0 if score is None else 0.06 + 0.94 * (score - low) / (high - low or 1.0)
            box: dict[str, Any] = {"x": left + column * cell + 1, "y": y + 1, "width": cell - 2, "height": 14}
            parts.append(element("rect", note, kind="heat", fill_opacity=fill, **box))
    spoken = f"Scores of the {table.probe} probe for {table.family} at {len(table.rows)} sites, {low:.2f} to {high:.2f}"
    return drawing(left + len(table.rows) * cell, top + 16 * len(table.labels) + 2, spoken, parts, "heatmap")


def heat_range(table: ProbeTable) -> tuple[float, float]:
    """The lowest and the highest score of a label at a site."""
    known = [score for row in table.rows for score in row.labels.values() if score is not None]
    return (min(known), max(known)) if known else (0.0, 1.0)


def _heard_over_time(notes: Notes) -> str:
    if not notes.share:
        return "Notes over time: none is heard"
    loudest = sorted(notes.share.items(), key=lambda item: -item[1])[:3]
    return "Notes over time: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in loudest if share)
