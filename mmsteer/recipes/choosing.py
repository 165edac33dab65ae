"""Which conditions go on to the test: the best of those that stay within the bounds, on other material."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmsteer.recipes.plan import Condition
from mmsteer.recipes.schema import Bound, Choose

Row = Mapping[str, Any]


def choose(rule: Choose, conditions: Sequence[Condition], scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The content of `choice.json`: one item for each choice that the rule asks for.

    Where no condition stays within all bounds the best of all is taken, and the item says so.

    `rule`: what the recipe says.
    `scores`: their scores on the validation material, as in `scores.json`.
    """
    rows = {row["condition"]: row for row in scores["rows"]}
    groups: dict[Any, list[Row]] = {}
    for condition in conditions:
        groups.setdefault(condition.place if rule.of == "each" else None, []).append(rows[condition.name])
    return [_choice(rule, members) for members in groups.values()]


def _choice(rule: Choose, rows: Sequence[Row]) -> dict[str, Any]:
    metric = rule.maximise or rule.minimise or ""
    within = [row for row in rows if not broken(rule.bounds, row)]
    best = max(within or rows, key=lambda row: _worth(rule, row))
    return {
        "condition": best["condition"],
        "goal": f"{'maximise' if rule.maximise else 'minimise'} {metric}",
        "value": _value(best, metric, "steered"),
        "within_bounds": bool(within),
        "broken": broken(rule.bounds, best),
        "tried": len(rows),
        "allowed": len(within),
    }


def broken(bounds: Mapping[str, Bound], row: Row) -> list[str]:
    """The bounds that a condition breaks, in words; a change that could not be measured breaks its bound.

    `bounds`: for each metric what it may change by.
    `row`: A row of the scores.
    """
    found = []
    for metric, bound in bounds.items():
        change = _value(row, metric, "difference")
        shown = "unscored" if change is None else f"{change:+.4f}"
        if bound.at_least is not None and (change is None or change < bound.at_least):
            found.append(f"{metric} changes by {shown}, at least {bound.at_least:+g} is asked")
        if bound.at_most is not None and (change is None or change > bound.at_most):
            found.append(f"{metric} changes by {shown}, at most {bound.at_most:+g} is asked")
    return found


def _worth(rule: Choose, row: Row) -> float:
    value = _value(row, rule.maximise or rule.minimise or "", "steered")
    if value is None:
        return float("-inf")
    return value if rule.maximise else -value


def _value(row: Row, metric: str, part: str) -> float | None:
    found = row["metrics"].get(metric, {}).get(part)
    return None if found is None else found["value"]
