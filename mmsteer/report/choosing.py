"""What was chosen where: every condition as it did on the material that conditions are tried on, and the rule."""

from dataclasses import dataclass

from mmsteer.report.parts import Bound, Row, Rule
from mmsteer.report.run_data import Run, Validation
from mmsteer.report.tables import Cell, cell
from mmsteer.report.wording import MISSING, NOUNS, percent, plural, signed, small


@dataclass(frozen=True)
class Tried:
    """A condition that was tried.

    `bounds`: the change of each bounded metric, and whether it is within its bound.
    """

    name: str
    chosen: bool
    goal: tuple[Cell | None, Cell | None]
    bounds: tuple[tuple[Cell, bool], ...]
    dose: tuple[str, str]


@dataclass(frozen=True)
class Choosing:
    """The choice.

    `progress`: how far the trial is; empty where it is finished.
    `metric`: what decides.
    `bounded`: metrics with bounds, and their bounds in words.
    `results`: what came of it, a sentence for each choice.
    """

    rule: str
    progress: str
    metric: str
    bounded: tuple[str, ...]
    tried: tuple[Tried, ...]
    results: tuple[str, ...]


def choosing(run: Run) -> Choosing | None:
    """The choice of a run; None where the recipe chooses nothing."""
    trial = run.validation
    if not trial:
        return None
    chosen = {one.condition for one in trial.choices}
    rows = trial.scores.rows if trial.scores else []
    return Choosing(
        rule=_rule(trial.rule),
        progress="" if trial.scores else f"{trial.done} of {trial.planned or 'an unknown number of'} {_things(run)}",
        metric=trial.rule.metric,
        bounded=tuple(f"{name} ({_bound(bound)})" for name, bound in trial.rule.bounds.items()),
        tried=tuple(_tried(row, trial.rule, chosen) for row in rows),
        results=_results(trial),
    )


def _things(run: Run) -> str:
    return f"{NOUNS[run.kind][1]}s"


def _rule(rule: Rule) -> str:
    whom = "Of all conditions" if rule.of == "all" else "Of the conditions of each entry of the recipe"
    goal = f"{'highest' if rule.maximise else 'lowest'} {rule.metric}"
    bounds = [f"changes {name} by {_bound(bound)}" for name, bound in rule.bounds.items()]
    within = f" among those whose steering {' and '.join(bounds)}" if bounds else ""
    return f"{whom} the one with the {goal}{within} goes on to the test"


def _bound(bound: Bound) -> str:
    ends = [f"at least {signed(bound.at_least, 3)}"] if bound.at_least is not None else []
    ends += [f"at most {signed(bound.at_most, 3)}"] if bound.at_most is not None else []
    return " and ".join(ends)


def _tried(row: Row, rule: Rule, chosen: set[str]) -> Tried:
    metric = row.metrics.get(rule.metric)
    value, change = (metric.steered, metric.difference) if metric else (None, None)
    goal = (cell(rule.metric, value), cell(rule.metric, change, change=True))
    bounds = tuple(_bounded(row, name, bound) for name, bound in rule.bounds.items())
    return Tried(row.condition, row.condition in chosen, goal, bounds, (small(row.kl), percent(row.ratio)))


def _bounded(row: Row, name: str, bound: Bound) -> tuple[Cell, bool]:
    metric = row.metrics.get(name)
    change = metric.difference if metric else None
    return cell(name, change, change=True) or Cell(MISSING, ""), bound.allows(change.value if change else None)


def _results(trial: Validation) -> tuple[str, ...]:
    return tuple(
        f"{one.condition}: {one.goal} among {plural(one.tried, 'condition')}, {one.allowed} of them within bounds"
        + ("" if one.within_bounds else f". It breaks them too: {'; '.join(one.broken)}")
        for one in trial.choices
    )
