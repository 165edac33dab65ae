"""Ways to find a direction side by side: how well each detects, steers, and at what price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmsteer.report.parts import ProbeTable, Row
from mmsteer.report.run_data import Run
from mmsteer.report.tables import Cell, cell
from mmsteer.report.wording import MISSING, number, percent, small

FEWEST = 3
"""Families in a run whose finders are compared."""

SHOWN = ("chair_s", "recall", "f1", "length", "pope.adversarial.f1", "adherence")
"""Metrics of the table beside hits and shares; all others are in the table of scores."""


@dataclass(frozen=True)
class FinderLine:
    """One finder at one dose.

    Attributes:
        name: Its family, and what else tells the row apart.
        detection: Mean held-out AUC of its directions, at the site where it is highest.
        seconds: What fitting took.
        dose: Divergence and norm ratio.
        cells: For each metric the score and its change from the unsteered run.
    """

    name: str
    detection: str
    seconds: str
    dose: tuple[str, str]
    cells: tuple[tuple[Cell | None, Cell | None], ...]


@dataclass(frozen=True)
class Finders:
    """The comparison.

    `lines`: the finders, in the order of the recipe.
    """

    metrics: tuple[str, ...]
    unsteered: tuple[Cell | None, ...]
    lines: tuple[FinderLine, ...]


def finders(run: Run) -> Finders | None:
    """The comparison of a run; None where fewer than three families of directions are steered alone."""
    tables = {table.family: table for table in run.probes}
    rows = [(family, row) for row in (run.scores.main if run.scores else []) if (family := _family(run, row)) in tables]
    if len({family for family, _ in rows}) < FEWEST:
        return None
    metrics = tuple(name for name in rows[0][1].metrics if _shown(name))
    first = rows[0][1].metrics
    return Finders(
        metrics,
        tuple(cell(name, first[name].unsteered) for name in metrics),
        tuple(_line(tables[family], row, metrics, run.seconds) for family, row in rows),
    )


def _shown(metric: str) -> bool:
    return metric in SHOWN or metric.endswith((".hit", ".share"))


def _family(run: Run, row: Row) -> str:
    """The family that all conditions of a row steer along, and nothing else; empty where there are several."""
    lines = [line for one in run.conditions if one.name in row.conditions for line in one.steering]
    families = {line.partition(":")[0] for line in lines}
    return families.pop() if len(families) == 1 else ""


def _line(table: ProbeTable, row: Row, metrics: Sequence[str], seconds: Mapping[str, float]) -> FinderLine:
    rest = [f"{value}" for key, value in row.values.items() if value != table.family]
    return FinderLine(
        name=", ".join([table.family, *rest]),
        detection=_detection(table),
        seconds=small(seconds.get(table.family)),
        dose=(small(row.kl), percent(row.ratio)),
        cells=tuple(
            (cell(name, row.metrics[name].steered), cell(name, row.metrics[name].difference, change=True))
            for name in metrics
        ),
    )


def _detection(table: ProbeTable) -> str:
    means = []
    for row in table.rows:
        known = [score for score in row.labels.values() if score is not None]
        means += [sum(known) / len(known)] if known else []
    return number(max(means), 3) if means else MISSING
