"""What a run shows, in a line or two of plain words with numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from mmsteer.report.headline import Headline, Verdict, change, headlines, moved
from mmsteer.report.output_parts import MetricWords
from mmsteer.report.parts import Interval, Metric, Row
from mmsteer.report.run_data import Run
from mmsteer.report.wording import CONTROLS, digits, number, plural

SHORT = 0.8
"""Captions below this share of their length say less; that alone lowers CHAIR."""


@dataclass(frozen=True)
class Words:
    """What may be claimed of a metric.

    `better`: its better direction.
    """

    better: str
    gained: str
    beyond: str
    worse: str
    nothing: str


CHAIR = Words(
    better="lower",
    gained="Fewer captions hallucinate",
    beyond="Fewer captions hallucinate, and fewer than with any control",
    worse="More captions hallucinate than without steering",
    nothing="No effect on hallucination is shown",
)


def verdicts(run: Run) -> list[Verdict]:
    """What the run shows of its goal, or of targets, captions and answers, and of schedules; nothing unscored."""
    found = [
        verdict
        for one in headlines(run)
        for verdict in (_targets(one), _captions(one), _answers(one), _goal(run, one) if run.goal else None)
    ]
    return [one for one in (*found, _schedules(run), _crossings(run)) if one]


def _goal(run: Run, chosen: Headline) -> Verdict | None:
    """What became of the goal, and what of everything else that has a better direction: the price."""
    row, goal = chosen.row, run.goal
    if not goal or goal.name not in row.metrics:
        return None
    paid = [one for one in run.metrics if one.better and one.name != goal.name and one.name in row.metrics]
    worse = [one.name for one in paid if _goes(row.metrics[one.name].difference, str(one.better)) < 0]
    price = f"; the price: {', '.join(worse)} worse" if worse else ""
    numbers = [change(goal.name, row.metrics[goal.name]), *(_paid(one.name, row) for one in paid)]
    source = f"{row.condition}, {plural(row.metrics[goal.name].steered.n, 'row')}{chosen.how}"
    return Verdict(_effect(row.metrics[goal.name], _goal_words(goal)) + price, "; ".join(numbers), source)


def _goal_words(goal: MetricWords) -> Words:
    gained = f"Steering {'lowers' if goal.better == 'lower' else 'raises'} {goal.name}"
    return Words(
        better=goal.better or "higher",
        gained=gained,
        beyond=f"{gained}, further than any control does",
        worse=f"Steering moves {goal.name} the wrong way",
        nothing=f"No effect on {goal.name} is shown",
    )


def _paid(name: str, row: Row) -> str:
    metric = row.metrics[name]
    return moved(name, metric, places=3) if metric.difference else f"{name} without an unsteered run beside it"


def _effect(metric: Metric, words: Words) -> str:
    """Whether a metric moves as wanted, and further than its controls."""
    if not metric.difference:
        return "Nothing unsteered stands beside this"
    if (way := _goes(metric.difference, words.better)) <= 0:
        return words.worse if way else words.nothing
    same = [CONTROLS.get(kind, kind) for kind, one in metric.against.items() if _goes(one, words.better) <= 0]
    if same:
        return f"{words.gained}, but the same is not ruled out for controls ({', '.join(same)})"
    return words.beyond if metric.against else f"{words.gained}; no control stands beside this"


def _goes(score: Interval | None, better: str) -> int:
    """1 where a change is for the better, -1 where it is for the worse, 0 where neither is shown."""
    up = 0 if score is None else int(score.above) - int(score.below)
    return up if better == "higher" else -up


def _captions(chosen: Headline) -> Verdict | None:
    row = chosen.row
    chair = row.metrics.get("chair_s")
    if not chair:
        return None
    parts = [change("chair_s", chair)]
    parts += [moved(name, row.metrics[name]) for name in ("recall", "f1") if name in row.metrics]
    parts += [_before_after(name, row.metrics[name]) for name in ("length", "empty") if name in row.metrics]
    source = f"{row.condition}, {plural(chair.steered.n, 'image')}{chosen.how}"
    return Verdict(_effect(chair, CHAIR) + _said_less(row), "; ".join(parts), source)


def _said_less(row: Row) -> str:
    """What else changed: a caption that says less is wrong less often."""
    recall, length = row.metrics.get("recall"), row.metrics.get("length")
    paid = ["recall falls"] if recall and recall.difference and recall.difference.below else []
    if length and length.unsteered and length.unsteered.value and length.steered.value is not None:
        share = length.steered.value / length.unsteered.value
        paid += [f"captions shrink to {100 * share:.0f} % of their length"] if share < SHORT else []
    return f"; {' and '.join(paid)}" if paid else ""


def _answers(chosen: Headline) -> Verdict | None:
    row = chosen.row
    asked = [name.split(".") for name in row.metrics if name.startswith("pope.")]
    splits = {split: row.metrics[f"pope.{split}.f1"] for _, split, metric in asked if metric == "f1"}
    if not splits:
        return None
    parts = [moved(split, one, places=3) for split, one in splits.items()]
    unread = [row.metrics[f"pope.{split}.{metric}"].steered.value for _, split, metric in asked if metric == "unparsed"]
    parts += [f"unparsed up to {number(most, 3)}"] if (most := max(filter(None, unread), default=None)) else []
    ways = {split: _goes(one.difference, "higher") for split, one in splits.items()}
    said = [
        f"{verb} ({', '.join(some)})"
        for verb, way in (("rises", 1), ("falls", -1))
        if (some := [split for split, its in ways.items() if its == way])
    ]
    claim = f"F1 of the answers {' and '.join(said)}" if said else "No change of the answers' F1 is shown"
    if all(one.steered.value is None for one in splits.values()):
        claim = "The answers have no F1"
    n = max(one.steered.n for one in splits.values())
    return Verdict(claim, "; ".join(parts), f"POPE, {row.condition}, {plural(n, 'image')}{chosen.how}")


def _before_after(name: str, metric: Metric) -> str:
    before = f"{number(metric.unsteered.value, digits(name))} → " if metric.unsteered else ""
    return f"{name} {before}{number(metric.steered.value, digits(name))}"


def _targets(chosen: Headline) -> Verdict | None:
    row = chosen.row
    if not row.hits:
        return None
    parts = [change(name, metric) for name, metric in row.hits.items()]
    if "adherence" in row.metrics:
        parts.append(moved("adherence", row.metrics["adherence"]))
    n = max(metric.steered.n for metric in row.hits.values())
    source = f"{row.condition}, {plural(n, 'clip')}{chosen.how}"
    return Verdict(_claim(list(row.hits.values())), "; ".join(parts), source)


def _claim(hits: Sequence[Metric]) -> str:
    if all(_above(metric) for metric in hits):
        what = "its target" if len(hits) == 1 else "each of its targets"
        return f"Steering reaches {what} more often than every control"
    if all(_goes(metric.difference, "higher") > 0 for metric in hits):
        return f"Steering moves towards its target, but {_doubt(hits)}"
    if all(metric.difference is None for metric in hits):
        return "Nothing unsteered stands beside this"
    return "No effect is shown" if len(hits) == 1 else "Not every target is reached more often"


def _doubt(hits: Sequence[Metric]) -> str:
    """Which comparison a gain does not survive, with its numbers."""
    metric = next(one for one in hits if not _above(one))
    random, low, n = metric.controls.get("random"), metric.steered.low, metric.steered.n
    if random is None or (low is not None and random.high is not None and low > random.high):
        return f"{plural(n, 'clip')} do not show that it is above chance ({number(metric.chance)})"
    both = f"{number(metric.steered.value)} against {number(random.value)}, n = {n} and {random.n}"
    if (metric.steered.value or 0) > (random.value or 0):
        return f"the difference from a random direction may be luck ({both})"
    return f"a random direction does as much ({both})"


def _above(metric: Metric) -> bool:
    """Whether the score is above the unsteered run and above every control that there is."""
    low = metric.steered.low
    others = [random.high if (random := metric.controls.get("random")) else None, metric.chance]
    gained = _goes(metric.difference, "higher") > 0
    return gained and low is not None and all(other is None or low > other for other in others)


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
