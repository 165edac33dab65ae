"""What steering gains against what it costs: over a sweep of its strength, against each other, and over the dose.

Where the recipe chooses on other material the sweep is drawn from that, as dots on a line, and the test as diamonds.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from mmsteer.report.parts import Interval, Row
from mmsteer.report.run_data import Run
from mmsteer.report.strips import SHAPES
from mmsteer.report.svg import Axis, Element, drawing, element, frame, line, marker
from mmsteer.report.sweeps import Series, Spot, grouped, swept
from mmsteer.report.wording import CONTROLS, bracket, digits, number, small

WIDTH, HEIGHT = 440, 300
DOSE = "KL from the unsteered model (nats a token)"
COSTS = {"chair_s": "recall", "chair_i": "recall"}
At = Callable[[Spot], float | None]


@dataclass(frozen=True)
class Figure:
    """A drawing."""

    picture: Markup
    caption: str


@dataclass(frozen=True)
class TradeOff:
    """The drawings for one metric.

    `figures`: the metric and its cost over strength, against each other, and over the dose, as far as known.
    """

    metric: str
    series: tuple[Series, ...]
    figures: tuple[Figure, ...]


def trade_offs(run: Run) -> list[TradeOff]:
    """The drawings for each metric that has something to show: at least two rows."""
    if not run.scores:
        return []
    tried = run.validation.scores.main if run.validation and run.validation.scores else None
    rows, tested = (tried, run.scores.main) if tried else (run.scores.main, [])
    variables = swept(rows)
    names = dict.fromkeys(name for row in rows for name in row.metrics)
    pairs = _pairs_of_rows(run) if run.goal else _pairs(names)
    found = [_trade_off(gain, cost, rows, tested, variables) for gain, cost in pairs]
    return [one for one in found if one.figures]


def _pairs(names: Iterable[str]) -> list[tuple[str, str | None]]:
    """The metrics that say what is gained, and what each is paid with."""
    known = list(names)
    hits = [(name, "adherence" if "adherence" in known else None) for name in known if name.endswith(".hit")]
    chair = [(name, COSTS[name]) for name in known if name in COSTS]
    answers = [(name, None) for name in known if name.startswith("pope.") and name.endswith(".f1")]
    return [*hits, *chair, *answers]


def _pairs_of_rows(run: Run) -> list[tuple[str, str | None]]:
    """The goal beside each metric that has a better direction of its own: what a gain may be paid with."""
    assert run.goal
    prices = [one.name for one in run.metrics if one.better and one.name != run.goal.name]
    return [(run.goal.name, price) for price in prices] or [(run.goal.name, None)]


def _trade_off(
    gain: str, cost: str | None, rows: Sequence[Row], tested: Sequence[Row], variables: Sequence[str]
) -> TradeOff:
    variable = variables[0] if len(variables) == 1 else "strength"
    series = grouped(rows, tested, variables, {gain, cost} if cost else {gain})
    figures = []
    if any(len([spot for spot in one.tried if spot.at is not None]) > 1 for one in series):
        figures.append(_over(gain, cost, series, variable, lambda spot: spot.at))
    if cost and sum(len(one.tried) for one in series) > 1:
        figures.append(_against(gain, cost, series, variable))
    if len({spot.row.kl for one in series for spot in one.tried if spot.row.kl is not None}) > 1:
        figures.append(_over(gain, cost, series, DOSE, lambda spot: spot.row.kl))
    return TradeOff(gain, series, tuple(figures))


def _over(gain: str, cost: str | None, series: Sequence[Series], over: str, at: At) -> Figure:
    """Both metrics over strength or dose, which are 0 for the unsteered run."""
    places = [0.0, *(place for one in series for spot in one.spots if (place := at(spot)) is not None)]
    low, high = min(places), max(places)
    x = Axis(low, high + 0.06 * (high - low), 44, WIDTH - 16)
    top = max(_top(series, gain), _top(series, cost) if cost else 0.0)
    y = Axis(0.0, top, HEIGHT - 48, 28)
    title = f"{gain} (filled), {cost} (dashed)" if cost else gain
    parts = [*frame(x, y, (over, title)), *_chance(series, gain, x, y)]
    for index, one in enumerate(series):
        # Side by side, so that intervals at one strength do not cover each other.
        shift = 5 * (index - (len(series) - 1) / 2)
        beside = replace(x, start=x.start + shift, stop=x.stop + shift)
        for name, kind in ((cost, "dashed"), (gain, "solid")):
            parts += _measured(one, name, kind, beside, y, at) if name else []
    parts += _beside(series, gain, x, y, at)
    spoken = "; ".join(_said(one, gain, at) for one in series)
    words = f"{gain}{f' (filled) and {cost} (open, dashed)' if cost else ''} over {over}"
    return Figure(drawing(WIDTH, HEIGHT, f"{gain} over {over}. {spoken}", parts, "chart"), words)


def _said(one: Series, metric: str, at: At) -> str:
    places = [(at(spot), spot.row.metrics[metric].steered) for spot in one.tried]
    return f"{one.name or metric}: " + ", ".join(
        f"{place:.3g} gives {number(score.value, digits(metric))}" for place, score in places if place is not None
    )


def _top(series: Sequence[Series], metric: str) -> float:
    """The end of an axis: 1, unless everything lies far below, or something above."""
    ends = [end for score in _scores(series, metric) for end in (score.value, score.high) if end is not None]
    highest = max(ends, default=1.0)
    return 1.0 if 0.5 < highest <= 1 or highest == 0 else 1.1 * highest


def _scores(series: Sequence[Series], metric: str) -> list[Interval]:
    metrics = [spot.row.metrics[metric] for one in series for spot in one.spots]
    found = [(one.steered, one.unsteered, *one.controls.values()) for one in metrics]
    return [score for scores in found for score in scores if score]


def _chance(series: Sequence[Series], metric: str, x: Axis, y: Axis) -> list[Element]:
    chance = series[0].spots[0].row.metrics[metric].chance
    if chance is None:
        return []
    return [element("path", d=f"M{x.start:.1f} {y(chance):.1f}H{x.stop:.1f}", kind="chance")]


def _measured(one: Series, name: str, kind: str, x: Axis, y: Axis, at: At) -> list[Element]:
    placed = [(place, spot) for spot in one.tried if (place := at(spot)) is not None]
    placed.sort(key=lambda pair: pair[0])
    points = [(place, spot.row.metrics[name].steered.value) for place, spot in placed]
    parts = [line(x, y, points, f"{kind} {one.colour}")]
    if kind == "solid" and one.letter and points and points[-1][1] is not None:
        parts.append(_label(x(points[-1][0]), y(points[-1][1]), one.letter))
    for spot in one.spots:
        place, score = at(spot), spot.row.metrics[name].steered
        if place is not None and score.value is not None:
            parts += _whisker(x(place), y, score, one.colour)
            parts += _mark(one, spot, x(place), y(score.value), _note(spot, name), hollow=kind == "dashed")
    return parts


def _mark(one: Series, spot: Spot, x: float, y: float, note: str, *, hollow: bool = False) -> list[Element]:
    """A dot, on the test a diamond; a circle around what was chosen."""
    if spot in one.tested:
        return [marker("hollow" if hollow else "diamond", x, y, one.colour, f"test, {note}")]
    around = [marker("chosen", x, y, one.colour, f"chosen: {note}")] if spot.chosen and not hollow else []
    return [*around, marker("ring" if hollow else "dot", x, y, one.colour, note)]


def _beside(series: Sequence[Series], metric: str, x: Axis, y: Axis, at: At) -> list[Element]:
    """The unsteered run at 0, and the controls at the strength that they share."""
    parts = []
    for one in series:
        for spots, shape in ((one.tried, "ring"), (one.tested, "hollow")):
            before = spots[0].row.metrics[metric].unsteered if spots else None
            if before and before.value is not None:
                parts.append(marker(shape, x(0), y(before.value), "grey", f"unsteered: {_spoken(metric, before)}"))
    for spot in (spot for one in series for spot in one.judged):
        place = at(spot)
        for kind, score in spot.row.metrics[metric].controls.items():
            if score.value is not None and place is not None:
                note = f"{CONTROLS[kind]}, {spot.row.condition}: {_spoken(metric, score)}"
                parts.append(marker(SHAPES[kind], x(place), y(score.value), "grey", note))
    return parts


def _against(gain: str, cost: str, series: Sequence[Series], variable: str) -> Figure:
    kept = _scores(series, cost)
    ends = [end for score in kept for end in (score.low, score.high) if end is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    x = Axis(max(0.0, low - 0.03), min(1.0, high + 0.03) if high <= 1 else 1.03 * high, 44, WIDTH - 16)
    y = Axis(0.0, _top(series, gain), HEIGHT - 48, 28)
    parts = frame(x, y, ("adherence to the prompt" if cost == "adherence" else cost, gain))
    for one in series:
        points = [_both(spot, gain, cost) for spot in one.tried]
        parts.append(line(x, y, [point for point in points if point], f"solid {one.colour}"))
        for spot in one.spots:
            parts += _crossed(one, spot, gain, cost, x, y)
    parts += _controls_against(series, gain, cost, x, y)
    more = "of the target" if gain.endswith(".hit") else gain
    better = "down is fewer hallucinations" if gain in COSTS else f"up is more {more}"
    kinder = {"adherence": "truer to the prompt", "recall": "more of what is there"}.get(cost, f"more {cost}")
    numbers = f"; numbers are {variable}" if any(spot.at is not None for one in series for spot in one.spots) else ""
    words = f"The same rows against each other: {better}, right is {kinder}{numbers}"
    spoken = "; ".join(f"{spot.row.condition}: {_pair(spot.row, gain, cost)}" for one in series for spot in one.spots)
    return Figure(drawing(WIDTH, HEIGHT, f"{gain} against {cost}. {spoken}", parts, "chart"), words)


def _both(spot: Spot, gain: str, cost: str) -> tuple[float, float] | None:
    kept, gained = spot.row.metrics[cost].steered.value, spot.row.metrics[gain].steered.value
    return None if kept is None or gained is None else (kept, gained)


def _pair(row: Row, gain: str, cost: str) -> str:
    values = [number(row.metrics[name].steered.value, digits(name)) for name in (gain, cost)]
    return f"{gain} {values[0]}, {cost} {values[1]}"


def _crossed(one: Series, spot: Spot, gain: str, cost: str, x: Axis, y: Axis) -> list[Element]:
    """A point with both its intervals."""
    both = _both(spot, gain, cost)
    if not both:
        return []
    kept, gained = spot.row.metrics[cost].steered, spot.row.metrics[gain].steered
    at, level = x(both[0]), y(both[1])
    marks = _whisker(at, y, gained, one.colour)
    if kept.low is not None and kept.high is not None:
        across = f"M{x(kept.low):.1f} {level:.1f}H{x(kept.high):.1f}"
        marks.append(element("path", d=across, kind=f"whisker {one.colour}"))
    note = f"{spot.row.condition}: {_spoken(gain, gained)}; {_spoken(cost, kept)}"
    marks += _mark(one, spot, at, level, note)
    # A test point has the number of the point that it was chosen as.
    return marks if spot in one.tested and one.tried else [*marks, _label(at, level, _number(one, spot))]


def _number(one: Series, spot: Spot) -> str:
    return " ".join(part for part in (one.letter, "" if spot.at is None else f"{spot.at:g}") if part)


def _controls_against(series: Sequence[Series], gain: str, cost: str, x: Axis, y: Axis) -> list[Element]:
    """The unsteered run and the controls, each once."""
    marks: dict[tuple[str, float, float], str] = {}
    for shape, name, gained, kept in _neighbours(series, gain, cost):
        if gained and kept and gained.value is not None and kept.value is not None:
            marks.setdefault((shape, x(kept.value), y(gained.value)), name)
    found = [marker(shape, at, level, "grey", name) for (shape, at, level), name in marks.items()]
    words = [_label(at, level, name) for (_, at, level), name in marks.items() if name == "unsteered"]
    return [*found, *words[:1]]


def _neighbours(
    series: Sequence[Series], gain: str, cost: str
) -> Iterator[tuple[str, str, Interval | None, Interval | None]]:
    """Shape, name, and both scores of everything that stands beside a row."""
    for spot, tested in ((spot, spot in one.tested) for one in series for spot in one.spots):
        gained, kept = spot.row.metrics[gain], spot.row.metrics[cost]
        yield "hollow" if tested else "ring", "unsteered", gained.unsteered, kept.unsteered
        for kind, score in gained.controls.items():
            yield SHAPES[kind], f"{CONTROLS[kind]}, {spot.row.condition}", score, kept.controls.get(kind)


def _note(spot: Spot, name: str) -> str:
    return f"{spot.row.condition}: {_spoken(name, spot.row.metrics[name].steered)}, KL {small(spot.row.kl)} nats"


def _spoken(metric: str, score: Interval) -> str:
    places = digits(metric)
    return f"{metric} {number(score.value, places)} {bracket(score, places)}, n = {score.n}"


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
