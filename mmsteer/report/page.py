"""A run → HTML."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mmsteer.report.attribution_pictures import legend
from mmsteer.report.choosing import choosing
from mmsteer.report.finders import finders
from mmsteer.report.gallery import galleries
from mmsteer.report.material import material
from mmsteer.report.parts import ProbeTable
from mmsteer.report.rendering import render
from mmsteer.report.run_data import Run
from mmsteer.report.schedules import schedule_charts
from mmsteer.report.strips import heat_range, heat_strip
from mmsteer.report.tables import control_kinds, flip_lines, receipt_lines, score_row
from mmsteer.report.tradeoff import trade_offs
from mmsteer.report.verdict import verdicts
from mmsteer.report.wording import CONTROLS, NOUNS, meaning, number

SPOKEN = 6
"""Sentences of the verdict that are not folded."""
GALLERIES = {"music": "Listening", "vision": "Pictures", "rows": "Outputs"}


@dataclass(frozen=True)
class ProbeView:
    """A probe's table of scores.

    `legend`: what the ends of the colour stand for.
    """

    title: str
    best: str
    sites: str
    legend: str
    picture: Markup


@dataclass(frozen=True)
class DirectionView:
    """Where directions came from.

    `model`: fingerprint of the model they were found in.
    """

    names: tuple[str, ...]
    sites: str
    model: str
    provenance: Mapping[str, str]


def render_page(run: Run) -> str:
    """The page; the same run gives the same page."""
    return render("report.html.j2", **_view(run))


def _view(run: Run) -> dict[str, Any]:
    scores = run.scores
    rows = scores.rows if scores else []
    metrics = dict.fromkeys(name for row in rows for name in row.metrics)
    kinds = control_kinds(rows)
    words = {one.name: one.meaning for one in run.metrics}
    return {
        "run": run,
        "nouns": NOUNS[run.kind],
        "material": material(run),
        "planned": len(run.conditions) * len(run.examples),
        "verdicts": verdicts(run),
        "spoken": SPOKEN,
        "controls": [CONTROLS.get(kind, kind) for kind in kinds],
        "main": [score_row(row, kinds) for row in scores.main] if scores else [],
        "folded": [score_row(row, kinds) for row in rows] if scores and scores.summaries else [],
        "flips": flip_lines(rows),
        "finders": finders(run),
        "metrics": [(name, words.get(name) or meaning(name)) for name in metrics],
        "trade_offs": trade_offs(run),
        "choosing": choosing(run),
        "schedules": schedule_charts(run.traces),
        "galleries": galleries(run),
        "measured": any(traces.words for traces in run.traces.values()),
        "attributed": [legend(name) for name in _techniques(run)],
        "gallery_title": GALLERIES[run.kind],
        "receipts": receipt_lines(run),
        "probes": [_probe(table) for table in run.probes],
        "directions": _directions(run),
    }


def _techniques(run: Run) -> list[str]:
    """The techniques by which outputs are attributed."""
    every = [one for some in run.attributions.values() for one in some.values()]
    return list(dict.fromkeys(one.technique for one in every if not one.refused))


def _probe(table: ProbeTable) -> ProbeView:
    scored = [(row.score, row.site) for row in table.rows if row.score is not None]
    best = max(scored, default=None)
    low, high = heat_range(table)
    return ProbeView(
        title=f"{table.family}: {table.probe}, {table.metric}",
        best=f"highest {table.metric} {number(best[0])} at {best[1]}" if best else "not scored",
        sites=", ".join(f"{row.site} {number(row.score)}" for row in table.rows),
        legend=f"{number(low)} (pale) to {number(high)} (full)",
        picture=heat_strip(table),
    )


def _directions(run: Run) -> list[DirectionView]:
    """The directions, those of one origin together; settings at each site stay in the file."""
    grouped: dict[tuple[Any, ...], list[str]] = {}
    for name, direction in run.directions.items():
        shown = tuple((key, value) for key, value in direction.provenance.items() if len(value) <= 120)
        sites = direction.sites
        span = str(sites[0]) if len(sites) == 1 else f"{sites[0]} to {sites[-1]} ({len(sites)} sites)"
        grouped.setdefault((span, direction.model, shown), []).append(name)
    return [DirectionView(tuple(names), span, model, dict(shown)) for (span, model, shown), names in grouped.items()]
