"""The run in a line or two, in plain words with numbers."""

from collections.abc import Sequence
from statistics import median

from mmsteer.report.headline import Headline, Verdict, change, headlines, moved
from mmsteer.report.parts import Metric
from mmsteer.report.rows_verdict import rows_verdict
from mmsteer.report.run_data import Run
from mmsteer.report.vision_verdict import vision_verdicts
from mmsteer.report.wording import number, plural


def verdicts(run: Run) -> list[Verdict]:
    """What the run shows: for targets, for hallucinations and for schedules; nothing before it is scored."""
    found = [
        verdict for one in headlines(run) for verdict in (_targets(one), *vision_verdicts(one), rows_verdict(run, one))
    ]
    return [one for one in (*found, _schedules(run), _crossings(run)) if one]


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
    if all(_gained(metric) for metric in hits):
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


def _gained(metric: Metric) -> bool:
    return metric.difference is not None and metric.difference.above


def _above(metric: Metric) -> bool:
    """Whether the score is above the unsteered run and above every control that there is."""
    low = metric.steered.low
    others = [random.high if (random := metric.controls.get("random")) else None, metric.chance]
    return _gained(metric) and low is not None and all(other is None or low > other for other in others)


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
