"""The run in a line or two, in plain words with numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from mmsteer.report.parts import Metric, Row, Scores
from mmsteer.report.run_data import Run
from mmsteer.report.wording import bracket, number, plural, signed


@dataclass(frozen=True)
class Verdict:
    """A sentence of the verdict.

    Attributes:
        claim: What the numbers allow to say.
        numbers: The numbers.
        source: Which row they are from, and how it was chosen.
    """

    claim: str
    numbers: str
    source: str


def verdicts(run: Run) -> list[Verdict]:
    """What the run shows: for targets, and for schedules; nothing before it is scored.

    Args:
        run: The run.
    """
    found = [_targets(run.scores) if run.scores else None, _schedules(run), _crossings(run)]
    return [one for one in found if one]


def headline(scores: Scores) -> tuple[Row, int] | None:
    """The row that the verdict speaks of and how many it was chosen from; None where no row has a target.

    Of the rows with most targets it is the one that reaches them most often; of equals, the one truest to the prompt.

    Args:
        scores: The scores.
    """
    scored = [row for row in scores.main if _reached(row) is not None]
    if not scored:
        return None
    most = max(len(_hits(row)) for row in scored)
    candidates = [row for row in scored if len(_hits(row)) == most]
    return max(candidates, key=lambda row: (_reached(row) or 0.0, _kept(row))), len(candidates)


def _hits(row: Row) -> dict[str, Metric]:
    return {name: metric for name, metric in row.metrics.items() if name.endswith(".hit")}


def _reached(row: Row) -> float | None:
    values = [metric.steered.value for metric in _hits(row).values()]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _kept(row: Row) -> float:
    kept = row.metrics.get("adherence")
    return (kept.steered.value or 0.0) if kept else 0.0


def _targets(scores: Scores) -> Verdict | None:
    chosen = headline(scores)
    if not chosen:
        return None
    row, among = chosen
    parts = [_change(name, metric) for name, metric in _hits(row).items()]
    if "adherence" in row.metrics:
        parts.append(_price(row.metrics["adherence"]))
    n = max(metric.steered.n for metric in _hits(row).values())
    choice = f", the highest of {among} rows: it was chosen after the fact" if among > 1 else ""
    return Verdict(_claim(list(_hits(row).values())), "; ".join(parts), f"{row.condition}, {plural(n, 'clip')}{choice}")


def _claim(hits: Sequence[Metric]) -> str:
    if all(_above(metric) for metric in hits):
        what = "its target" if len(hits) == 1 else "each of its targets"
        return f"Steering reaches {what} more often than every control"
    if all(_gained(metric) for metric in hits):
        return "Steering moves towards its target, but a random direction is not told apart from it"
    if all(metric.difference is None for metric in hits):
        return "Nothing unsteered stands beside this"
    return "No effect is shown" if len(hits) == 1 else "Not every target is reached more often"


def _gained(metric: Metric) -> bool:
    return metric.difference is not None and metric.difference.low is not None and metric.difference.low > 0


def _above(metric: Metric) -> bool:
    """Whether the score is above the unsteered run and above every control that there is."""
    low = metric.steered.low
    others = [metric.random.high if metric.random else None, metric.chance]
    return _gained(metric) and low is not None and all(other is None or low > other for other in others)


def _change(name: str, metric: Metric) -> str:
    before = f"{number(metric.unsteered.value)} → " if metric.unsteered else ""
    controls = [f"random direction {number(metric.random.value)}"] if metric.random else []
    controls += [f"chance {number(metric.chance)}"] if metric.chance is not None else []
    beside = f" ({', '.join(controls)})" if controls else ""
    return f"{name} {before}{number(metric.steered.value)} {bracket(metric.steered)}{beside}"


def _price(metric: Metric) -> str:
    if not metric.difference:
        return f"adherence {number(metric.steered.value)} {bracket(metric.steered)}"
    return f"adherence {signed(metric.difference.value)} {bracket(metric.difference)}"


def _schedules(run: Run) -> Verdict | None:
    found = [
        traced.following.pearson
        for one in run.traces.values()
        for traced in one.attributes
        if traced.following and traced.following.pearson is not None
    ]
    if not found:
        return None
    text = f"correlation {number(found[0])}"
    if len(found) > 1:
        ends = f"lowest {number(min(found))}, highest {number(max(found))}"
        text = f"correlation {number(median(found))} at the median, {ends}"
    return Verdict("Schedule and played note", text, plural(len(found), "schedule"))


def _crossings(run: Run) -> Verdict | None:
    found = [one.crossing for one in run.traces.values() if one.crossing]
    if not found:
        return None
    late = [one.played_s - one.scheduled_s for one in found if one.played_s is not None]
    lost = len(found) - len(late)
    parts = [f"largest distance from the scheduled crossing {number(max(map(abs, late)))} s"] if late else []
    parts += [f"{lost} never cross"] if lost else []
    return Verdict("Cross-fades", "; ".join(parts), plural(len(found), "cross-fade"))
