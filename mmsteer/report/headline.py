"""Which rows of scores a run is about, and the words for what they show."""

from dataclasses import dataclass

from mmsteer.report.output_parts import MetricWords
from mmsteer.report.parts import Choice, Metric, Row, Scores
from mmsteer.report.run_data import Run
from mmsteer.report.wording import CONTROLS, bracket, digits, number, plural, signed


@dataclass(frozen=True)
class Verdict:
    """A sentence of the verdict.

    `source`: which row they are from, and how it was chosen.
    """

    claim: str
    numbers: str
    source: str


@dataclass(frozen=True)
class Headline:
    """A row that the verdict speaks of.

    `how`: how it was chosen; empty where there was no choice.
    """

    row: Row
    how: str = ""


def headlines(run: Run) -> list[Headline]:
    """What was chosen before the test; without a choice the best row, which is then said to be chosen after the fact.

    With targets that is the row with most of them that reaches them most often, of equals the one truest to the
    prompt; with captions the one with the highest F1, with answers alone the one with the highest accuracy.
    """
    if not run.scores:
        return []
    if run.choices:
        rows = [(run.scores.of(one.condition), one) for one in run.choices]
        return [Headline(row, _chosen(one)) for row, one in rows if row]
    best = headline(run.scores, run.goal)
    if not best:
        return []
    row, among = best
    what = "highest" if row.hits else f"best {run.goal.name}" if run.goal else f"highest {_deciding(row)}"
    return [Headline(row, f", the {what} of {among} rows: it was chosen after the fact" if among > 1 else "")]


def headline(scores: Scores, goal: MetricWords | None = None) -> tuple[Row, int] | None:
    """The best row and how many it was chosen from; None where no row has anything to be best in.

    `goal`: what is wanted, where the run says so.
    """
    scored = [row for row in scores.main if _worth(row, goal) is not None]
    if not scored:
        return None
    most = max(len(row.hits) for row in scored)
    candidates = [row for row in scored if len(row.hits) == most]
    return max(candidates, key=lambda row: (_worth(row, goal) or 0.0, _kept(row))), len(candidates)


def change(name: str, metric: Metric) -> str:
    """A score before and after, beside its controls."""
    places = digits(name)
    before = f"{number(metric.unsteered.value, places)} → " if metric.unsteered else ""
    controls = [f"{CONTROLS[kind]} {number(score.value, places)}" for kind, score in metric.controls.items()]
    controls += [f"chance {number(metric.chance)}"] if metric.chance is not None else []
    beside = f" ({', '.join(controls)})" if controls else ""
    return f"{name} {before}{number(metric.steered.value, places)} {bracket(metric.steered, places)}{beside}"


def moved(name: str, metric: Metric, places: int | None = None) -> str:
    """A score's change from the unsteered run, or the score where there is none.

    `places`: digits; None for those of the metric.
    """
    places = digits(name) if places is None else places
    if not metric.difference:
        return f"{name} {number(metric.steered.value, places)} {bracket(metric.steered, places)}"
    return f"{name} {signed(metric.difference.value, places)} {bracket(metric.difference, places)}"


def _chosen(choice: Choice) -> str:
    bounds = "" if choice.within_bounds else ", although it breaks the recipe's bounds, as all do"
    return f", chosen before the test among {plural(choice.tried, 'condition')}{bounds}"


def _deciding(row: Row) -> str:
    return "F1" if "f1" in row.metrics else "accuracy"


def _worth(row: Row, goal: MetricWords | None) -> float | None:
    if goal:
        value = row.metrics[goal.name].steered.value if goal.name in row.metrics else None
        return -value if value is not None and goal.better == "lower" else value
    if row.hits:
        return _mean(list(row.hits.values()))
    if "f1" in row.metrics:
        return row.metrics["f1"].steered.value
    return _mean([metric for name, metric in row.metrics.items() if name.endswith(".accuracy")])


def _mean(metrics: list[Metric]) -> float | None:
    known = [metric.steered.value for metric in metrics if metric.steered.value is not None]
    return sum(known) / len(known) if known else None


def _kept(row: Row) -> float:
    kept = row.metrics.get("adherence")
    return (kept.steered.value or 0.0) if kept else 0.0
