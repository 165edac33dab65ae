"""What is shown of each condition: beside what, how much of it, and what it reached."""

from collections.abc import Iterator

from mmsteer.report.headline import headlines
from mmsteer.report.parts import Condition
from mmsteer.report.run_data import Run
from mmsteer.report.wording import CONTROLS, digits, number

OPEN = 3
"""Conditions that are not folded: the first of those that the verdict speaks of."""
SHORT = ("chair_s", "recall", "f1")


def roles(run: Run, condition: Condition) -> list[tuple[str, str]]:
    """What a condition is shown beside: the unsteered run and the first of each kind of control.

    Returns:
        Words for each and its name, the condition itself among them.
    """
    unsteered = [("unsteered", one.name) for one in run.conditions if one.kind == "unsteered"]
    kinds = {one.name: one.kind for one in run.conditions}
    controls: dict[str, str] = {}
    for name in condition.controls:
        kind = kinds.get(name, "random")
        controls.setdefault(CONTROLS.get(kind, kind), name)
    return [*unsteered[:1], ("steered", condition.name), *controls.items()]


def shown_conditions(run: Run) -> Iterator[tuple[Condition, bool]]:
    """The steered conditions, and whether each is shown at once or folded."""
    spoken = [name for one in headlines(run) for name in one.row.conditions] or [one.name for one in run.steered]
    for one in run.steered:
        yield one, one.name in spoken[:OPEN]


def reached(run: Run, condition: Condition) -> str:
    """A condition's main scores in a line; empty before it is scored."""
    row = run.scores.of(condition.name) if run.scores else None
    if not row:
        return ""
    short = [run.goal.name] if run.goal else SHORT
    metrics = row.hits or {name: row.metrics[name] for name in short if name in row.metrics}
    return ", ".join(f"{name} {number(one.steered.value, digits(name))}" for name, one in metrics.items())
