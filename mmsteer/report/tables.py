"""Scores and receipts as rows of text."""

from dataclasses import dataclass

from markupsafe import Markup

from mmsteer.report.parts import Interval, Metric, Receipt, Row
from mmsteer.report.run_data import Run
from mmsteer.report.strips import interval_picture
from mmsteer.report.wording import bracket, meaning, number, percent, signed, small


@dataclass(frozen=True)
class Cell:
    """A score.

    Attributes:
        value: The mean.
        interval: Its 95 % interval.
    """

    value: str
    interval: str


@dataclass(frozen=True)
class ScoreLine:
    """One metric of a row of scores.

    Attributes:
        metric: Its name.
        meaning: What it counts.
        picture: The scores on a scale.
        cells: Steered, difference, unsteered, random, difference of random; None where there is no such control.
        chance: What guessing reaches.
        n: Scored clips.
        unscored: Clips without an answer; empty where there are none.
    """

    metric: str
    meaning: str
    picture: Markup
    cells: tuple[Cell | None, ...]
    chance: str
    n: int
    unscored: str


@dataclass(frozen=True)
class ScoreRow:
    """The scores of a condition.

    Attributes:
        name: The condition.
        dose: Divergence and norm ratio.
        lines: Its metrics.
    """

    name: str
    dose: str
    lines: tuple[ScoreLine, ...]


@dataclass(frozen=True)
class ReceiptLine:
    """What was applied in a condition.

    Attributes:
        name: The condition.
        attributes: What was steered.
        cells: Sites, calls, rows, steps, tokens, ratio, peak, factor of calibration, divergence.
    """

    name: str
    attributes: tuple[str, ...]
    cells: tuple[str, ...]


def score_row(row: Row) -> ScoreRow:
    """A row of scores.

    Args:
        row: The row.
    """
    dose = f"KL {small(row.kl)} nats a token · {percent(row.ratio)} of the residual norm"
    return ScoreRow(row.condition, dose, tuple(_line(name, metric) for name, metric in row.metrics.items()))


def receipt_lines(run: Run) -> list[ReceiptLine]:
    """What was applied, in the order of the conditions.

    Args:
        run: The run.
    """
    order = [one.name for one in run.conditions if one.kind != "unsteered"]
    return [_receipt(name, run.receipts[name], run) for name in order if name in run.receipts]


def _line(name: str, metric: Metric) -> ScoreLine:
    unscored = metric.steered.unscored
    return ScoreLine(
        metric=name,
        meaning=meaning(name),
        picture=interval_picture(metric),
        cells=(
            _cell(metric.steered),
            _cell(metric.difference, change=True),
            _cell(metric.unsteered),
            _cell(metric.random),
            _cell(metric.random_difference, change=True),
        ),
        chance=number(metric.chance) if metric.chance is not None else "",
        n=metric.steered.n,
        unscored=f"{unscored} unscored" if unscored else "",
    )


def _cell(score: Interval | None, *, change: bool = False) -> Cell | None:
    if score is None:
        return None
    return Cell(signed(score.value) if change else number(score.value), bracket(score))


def _receipt(name: str, receipt: Receipt, run: Run) -> ReceiptLine:
    peak = max((site.peak for site in receipt.sites.values()), default=None)
    factor = run.doses[name].factor if name in run.doses else None
    cells = (
        *(f"{count:,}" for count in (len(receipt.sites), receipt.calls, receipt.rows, receipt.steps, receipt.tokens)),
        percent(receipt.ratio),
        percent(peak),
        small(factor) if factor is not None else "",
        small(receipt.kl) if receipt.kl is not None else "",
    )
    return ReceiptLine(name, tuple(receipt.attributes), cells)
