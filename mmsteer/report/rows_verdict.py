"""What a run on rows of one's own shows, in plain words with numbers."""

from collections.abc import Sequence

from mmsteer.report.headline import Headline, Verdict, change
from mmsteer.report.output_parts import MetricWords
from mmsteer.report.parts import Interval, Metric
from mmsteer.report.run_data import Run
from mmsteer.report.wording import CONTROLS, bracket, plural, signed


def rows_verdict(run: Run, chosen: Headline) -> Verdict | None:
    """What became of the goal, and what of everything else that has a better direction: the price.

    `chosen`: the row of scores that the verdict speaks of.
    """
    if not run.goal or run.goal.name not in chosen.row.metrics:
        return None
    goal = chosen.row.metrics[run.goal.name]
    paid = [one for one in run.metrics if one.better and one.name != run.goal.name]
    known = [(one, chosen.row.metrics[one.name]) for one in paid if one.name in chosen.row.metrics]
    numbers = [change(run.goal.name, goal), *(_moved(one.name, metric) for one, metric in known)]
    source = f"{chosen.row.condition}, {plural(goal.steered.n, 'row')}{chosen.how}"
    return Verdict(_claim(goal, run.goal) + _price(known), "; ".join(numbers), source)


def _claim(goal: Metric, words: MetricWords) -> str:
    better = words.better or "higher"
    if not goal.difference:
        return "Nothing unsteered stands beside this"
    if _worsens(goal.difference, better):
        return f"Steering moves {words.name} the wrong way"
    if not _improves(goal.difference, better):
        return f"No effect on {words.name} is shown"
    moved = "raises" if better == "higher" else "lowers"
    same = [CONTROLS.get(kind, kind) for kind, one in goal.against.items() if not _improves(one, better)]
    if same:
        return f"Steering {moved} {words.name}, but the same is not ruled out for controls ({', '.join(same)})"
    beyond = "further than any control does" if goal.against else "no control stands beside this"
    return f"Steering {moved} {words.name}, {beyond}"


def _price(known: Sequence[tuple[MetricWords, Metric]]) -> str:
    worse = [one.name for one, metric in known if metric.difference and _worsens(metric.difference, str(one.better))]
    return f"; the price: {', '.join(worse)} worse" if worse else ""


def _moved(name: str, metric: Metric) -> str:
    if not metric.difference:
        return f"{name} without an unsteered run beside it"
    return f"{name} {signed(metric.difference.value, 3)} {bracket(metric.difference, 3)}"


def _improves(score: Interval, better: str) -> bool:
    return score.above if better == "higher" else score.below


def _worsens(score: Interval, better: str) -> bool:
    return score.below if better == "higher" else score.above
