"""Curves that are drawn on the page, as schedules."""

from pathlib import Path

from mmsteer.errors import StudioError, clip
from mmsteer.json_lines import parse_json
from mmsteer.schedules import parse_schedule

MOST_POINTS = 100
UNITS = {"audio": "s", "text": "steps"}
"""What a curve runs over, by what the model makes."""

TEMPLATE = '<svg class="curve" viewBox="0 0 600 180" role="img" aria-label="strength over time"></svg>'
_HERE = Path(__file__).parent
SCRIPT = (_HERE / "curve.js").read_text()
STYLE = (_HERE / "curve.css").read_text()


def schedule_of(drawn: str, kind: str) -> str:
    """A drawn curve as a schedule.

    Args:
        drawn: JSON, points of time and share of the strength.
        kind: What the model makes, `audio` or `text`.

    Raises:
        StudioError: They are no points.
    """
    points = parse_json(drawn or "[]", "the curve", StudioError)
    if not isinstance(points, list) or len(points) > MOST_POINTS or not all(map(_is_point, points)):
        raise StudioError(f"the curve {clip(drawn)} is no list of at most {MOST_POINTS} points [time, share]")
    if not points:
        return ""
    text = ", ".join(f"{time:g}{UNITS[kind]}:{share:g}" for time, share in sorted(points))
    return str(parse_schedule(f"points({text})"))


def _is_point(point: object) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(type(one) in (int, float) and one >= 0 for one in point)
