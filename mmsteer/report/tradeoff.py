"""What steering gains against what it costs, over a sweep of its strength."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from mmsteer.report.parts import Interval, Row, Scores
from mmsteer.report.svg import Axis, Element, Point, drawing, element, frame, line, marker
from mmsteer.report.wording import bracket, number, small

WIDTH, HEIGHT = 440, 300
COLOURS = 6


@dataclass(frozen=True)
class Series:
    """Rows that differ in their strength alone.

    Attributes:
        name: What they have in common.
        colour: Class of their colour.
        points: Strengths and rows, in the order of strength.
    """

    name: str
    colour: str
    points: tuple[tuple[float, Row], ...]


@dataclass(frozen=True)
class TradeOff:
    """The drawings for one target metric.

    Attributes:
        metric: Its name.
        variable: What is swept.
        series: What the colours mean.
        over_strength: Target metric and adherence over strength.
        against: Target metric against adherence; None without adherence.
    """

    metric: str
    variable: str
    series: tuple[Series, ...]
    over_strength: Markup
    against: Markup | None


def trade_offs(scores: Scores) -> list[TradeOff]:
    """The drawings, one pair for each target metric; none without a sweep.

    Args:
        scores: The scores.
    """
    rows = scores.main
    variable = swept(rows)
    if variable is None:
        return []
    metrics = dict.fromkeys(name for row in rows for name in row.metrics if name.endswith(".hit"))
    found = []
    for metric in metrics:
        series = grouped(rows, variable, metric)
        if any(len(one.points) > 1 for one in series):
            found.append(_trade_off(metric, variable, series))
    return found


def swept(rows: Sequence[Row]) -> str | None:
    """The variable that stands for strength: of the numbers that vary the one called so, or that takes most values.

    Args:
        rows: Rows of scores.
    """
    values: dict[str, set[float]] = {}
    for row in rows:
        for key, value in row.values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values.setdefault(key, set()).add(value)
    varying = {key: len(taken) for key, taken in values.items() if len(taken) > 1}
    return "strength" if "strength" in varying else max(varying, key=lambda key: varying[key], default=None)


def grouped(rows: Sequence[Row], variable: str, metric: str) -> tuple[Series, ...]:
    """The rows with a metric, by everything but the swept variable.

    Args:
        rows: Rows of scores.
        variable: What is swept.
        metric: Which score they must have.
    """
    groups: dict[str, list[tuple[float, Row]]] = {}
    for row in rows:
        if variable in row.values and metric in row.metrics:
            rest = [str(value) for key, value in row.values.items() if key != variable]
            groups.setdefault(", ".join(rest), []).append((float(row.values[variable]), row))
    return tuple(
        Series(name, f"c{index % COLOURS}", tuple(sorted(points, key=lambda point: point[0])))
        for index, (name, points) in enumerate(groups.items())
    )


def _trade_off(metric: str, variable: str, series: tuple[Series, ...]) -> TradeOff:
    costed = any("adherence" in row.metrics for one in series for _, row in one.points)
    return TradeOff(
        metric=metric,
        variable=variable,
        series=series,
        over_strength=_over_strength(metric, variable, series, costed=costed),
        against=_against(metric, variable, series) if costed else None,
    )


def _over_strength(metric: str, variable: str, series: Sequence[Series], *, costed: bool) -> Markup:
    strengths = [0.0, *(at for one in series for at, _ in one.points)]
    low, high = min(strengths), max(strengths)
    x, y = Axis(low, high + 0.06 * (high - low), 44, WIDTH - 16), Axis(0.0, 1.0, HEIGHT - 48, 28)
    parts = frame(x, y, (variable, f"{metric} (filled), adherence (dashed)" if costed else metric))
    first = series[0].points[0][1].metrics[metric]
    if first.chance is not None:
        parts.append(element("path", d=f"M{x.start:.1f} {y(first.chance):.1f}H{x.stop:.1f}", kind="chance"))
    for index, one in enumerate(series):
        # Side by side, so that intervals at one strength do not cover each other.
        shift = 5 * (index - (len(series) - 1) / 2)
        beside = replace(x, start=x.start + shift, stop=x.stop + shift)
        for name, kind in (("adherence", "dashed"), (metric, "solid")):
            parts += _measured(one, name, kind, beside, y)
    parts += _beside(series, metric, x, y)
    spoken = "; ".join(
        f"{one.name or metric}: "
        + ", ".join(f"{at:g} gives {number(row.metrics[metric].steered.value)}" for at, row in one.points)
        for one in series
    )
    return drawing(WIDTH, HEIGHT, f"{metric} over {variable}. {spoken}", parts, "chart")


def _measured(one: Series, name: str, kind: str, x: Axis, y: Axis) -> list[Element]:
    points = [(at, row, row.metrics[name]) for at, row in one.points if name in row.metrics]
    parts = [line(x, y, [(at, metric.steered.value) for at, _, metric in points], f"{kind} {one.colour}")]
    for at, row, metric in points:
        score = metric.steered
        if score.value is not None:
            parts += _whisker(x(at), y, score, one.colour)
            note = f"{row.condition}: {_spoken(name, score)}, KL {small(row.kl)} nats"
            parts.append(marker("dot" if kind == "solid" else "ring", x(at), y(score.value), one.colour, note))
    return parts


def _beside(series: Sequence[Series], metric: str, x: Axis, y: Axis) -> list[Element]:
    """The unsteered run at strength 0, and the random directions at theirs."""
    parts = []
    for one in series:
        before = one.points[0][1].metrics[metric].unsteered
        if before and before.value is not None:
            parts.append(marker("ring", x(0), y(before.value), "grey", f"unsteered: {_spoken(metric, before)}"))
    for one in series:
        for at, row in one.points:
            random = row.metrics[metric].random
            if random and random.value is not None:
                note = f"random direction, {row.condition}: {_spoken(metric, random)}"
                parts.append(marker("triangle", x(at), y(random.value), "grey", note))
    return parts


def _against(metric: str, variable: str, series: Sequence[Series]) -> Markup:
    both = [(one, at, row) for one in series for at, row in one.points if "adherence" in row.metrics]
    scores = [row.metrics["adherence"].steered for _, _, row in both]
    before = [row.metrics["adherence"].unsteered for _, _, row in both]
    ends = [end for score in (*scores, *before) if score for end in (score.low, score.high) if end is not None]
    x = Axis(max(0.0, min(ends, default=0.0) - 0.03), min(1.0, max(ends, default=1.0) + 0.03), 44, WIDTH - 16)
    y = Axis(0.0, 1.0, HEIGHT - 48, 28)
    parts = frame(x, y, ("adherence to the prompt", metric))
    for one in series:
        one = replace(one, points=tuple(point for point in one.points if "adherence" in point[1].metrics))
        parts += _path(one, metric, variable, x, y)
    for start in (one.points[0][1].metrics for one in series):
        kept = start["adherence"].unsteered if "adherence" in start else None
        unsteered = start[metric].unsteered
        if unsteered and kept and unsteered.value is not None and kept.value is not None:
            parts.append(marker("ring", x(kept.value), y(unsteered.value), "grey", "unsteered"))
            parts.append(_label(x(kept.value), y(unsteered.value), "unsteered"))
    return drawing(WIDTH, HEIGHT, f"{metric} against adherence, a point for each {variable}", parts, "chart")


def _path(one: Series, metric: str, variable: str, x: Axis, y: Axis) -> list[Element]:
    points: list[Point] = []
    marks: list[Element] = []
    for at, row in one.points:
        kept, gain = row.metrics["adherence"].steered, row.metrics[metric].steered
        if kept.value is None or gain.value is None:
            continue
        points.append((kept.value, gain.value))
        marks += _whisker(x(kept.value), y, gain, one.colour)
        if kept.low is not None and kept.high is not None:
            across = f"M{x(kept.low):.1f} {y(gain.value):.1f}H{x(kept.high):.1f}"
            marks.append(element("path", d=across, kind=f"whisker {one.colour}"))
        note = f"{row.condition}: {_spoken(metric, gain)}; {_spoken('adherence', kept)}"
        marks.append(marker("dot", x(kept.value), y(gain.value), one.colour, note))
        marks.append(_label(x(kept.value), y(gain.value), f"{at:g}"))
    return [line(x, y, points, f"solid {one.colour}"), *marks]


def _spoken(metric: str, score: Interval) -> str:
    return f"{metric} {number(score.value)} {bracket(score)}, n = {score.n}"


def _whisker(x: float, y: Axis, score: Interval, colour: str) -> list[Element]:
    if score.low is None or score.high is None:
        return []
    return [element("path", d=f"M{x:.1f} {y(score.low):.1f}V{y(score.high):.1f}", kind=f"whisker {colour}")]


def _label(x: float, y: float, text: str) -> Element:
    """A word beside a point, on the side where there is room."""
    left = x > WIDTH * 0.75
    return element(
        "text", text=text, x=x - 8 if left else x + 8, y=y - 6, text_anchor="end" if left else "start", kind="number"
    )
