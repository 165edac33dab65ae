"""What was scheduled and what was played, on one pair of axes."""

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from mmsteer.report.svg import Axis, Element, drawing, element, frame, line, marker
from mmsteer.report.trace_parts import ConditionTraces, Crossing, Traced
from mmsteer.report.wording import number, plural, signed

WIDTH, HEIGHT = 440, 270


@dataclass(frozen=True)
class ScheduleChart:
    """The drawing of a condition.

    `captions`: what follows from it, a line for each attribute, with the class of its colour.
    `crossing`: where a cross-fade crosses; None where nothing fades over.
    """

    condition: str
    chart: Markup
    captions: tuple[tuple[str, str], ...]
    crossing: str | None


def schedule_charts(traces: Mapping[str, ConditionTraces]) -> list[ScheduleChart]:
    """A drawing for each condition whose strength varies over time."""
    return [_chart(name, one) for name, one in traces.items() if any(map(varies, one.attributes))]


def varies(traced: Traced) -> bool:
    """Whether the strength of an attribute changes over time."""
    strength = [value for _, value in traced.curve]
    return len(strength) > 1 and max(strength) - min(strength) > 1e-6 * max(map(abs, strength))


def _chart(name: str, traces: ConditionTraces) -> ScheduleChart:
    strengths = [value for one in traces.attributes for _, value in one.curve]
    ends = [one.curve[-1][0] for one in traces.attributes if one.curve]
    x = Axis(0.0, max(ends, default=1.0) or 1.0, 44, WIDTH - 48)
    share = Axis(0.0, 1.0, HEIGHT - 46, 30)
    strength = Axis(min(0.0, *strengths), max(0.0, *strengths) or 1.0, share.start, share.stop)
    if traces.timed:
        parts = frame(x, share, ("time (s)", "share of clips that play it"), (strength, "strength (dashed)"))
    else:
        parts = frame(x, strength, ("token of the answer", "strength"))
    for index, one in enumerate(traces.attributes):
        parts += _attribute(one, f"c{index}", x, share, strength)
    if traces.crossing:
        parts += _crossing(traces.crossing, x, share)
    captions = tuple((f"c{index}", _caption(one)) for index, one in enumerate(traces.attributes))
    what = "scheduled strength and played notes over time" if traces.timed else "scheduled strength over tokens"
    spoken = f"{name}: {what}. " + " ".join(text for _, text in captions)
    crossing = _crossing_words(traces.crossing) if traces.crossing else None
    return ScheduleChart(name, drawing(WIDTH, HEIGHT, spoken, parts, "chart"), captions, crossing)


def _attribute(one: Traced, colour: str, x: Axis, share: Axis, strength: Axis) -> list[Element]:
    parts = []
    if one.played:
        times = one.played.times_s
        if one.played.unsteered:
            parts.append(line(x, share, list(zip(times, one.played.unsteered, strict=False)), "before"))
        parts.append(line(x, share, list(zip(times, one.played.share, strict=False)), f"faint {colour}"))
    parts.append(line(x, strength, one.curve, f"dashed {colour}"))
    if one.following:
        windows = list(zip(one.following.times_s, one.following.played, strict=False))
        parts.append(line(x, share, windows, f"solid {colour}"))
        for at, value in windows:
            if value is not None:
                parts.append(marker("dot", x(at), share(value), colour, f"{one.label} at {at:.2f} s: {number(value)}"))
    return parts


def _caption(one: Traced) -> str:
    if not one.following:
        return f"{one.direction}: what was played is not compared" if one.schedule else one.direction
    found = one.following
    if found.pearson is None:
        return f"{one.direction}: no correlation, because one of the two does not change"
    return (
        f"{one.direction}: correlation {number(found.pearson)}, of ranks {number(found.spearman)}, "
        f"best lag {signed(found.lag_s)} s, {plural(found.windows, 'window')}"
    )


def _crossing(crossing: Crossing, x: Axis, y: Axis) -> list[Element]:
    moments = [(crossing.scheduled_s, "crossing dashed", "scheduled")]
    if crossing.played_s is not None:
        moments.append((crossing.played_s, "crossing", "played"))
    return [
        element(
            "path",
            element("title", text=f"{what} crossing at {at:.2f} s"),
            d=f"M{x(at):.1f} {y.start:.1f}V{y.stop:.1f}",
            kind=kind,
        )
        for at, kind, what in moments
    ]


def _crossing_words(crossing: Crossing) -> str:
    played = (
        "the played notes do not cross" if crossing.played_s is None else f"played at {number(crossing.played_s)} s"
    )
    return f"Crossing: scheduled at {number(crossing.scheduled_s)} s, {played}."
