"""Scores and receipts as rows of text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mmsteer.report.parts import Condition, Dose, Interval, Metric, Receipt, Row
from mmsteer.report.run_data import Run
from mmsteer.report.strips import interval_picture
from mmsteer.report.wording import bracket, digits, meaning, number, percent, signed, small

RIGHT, YES, LOST = ("tp", "tn"), ("tp", "fp"), "unparsed"


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

    `controls`: of each kind of control its score and its difference; None where there is no such control.
    `unscored`: those without an answer; empty where there are none.
    """

    metric: str
    meaning: str
    picture: Markup
    cells: tuple[Cell | None, ...]
    controls: tuple[tuple[Cell | None, Cell | None], ...]
    chance: str
    n: int
    unscored: str


@dataclass(frozen=True)
class FlipLine:
    """How the answers of a split of POPE changed from the unsteered run.

    `cells`: how many answers became right, became wrong, went from yes to no, from no to yes, became readable, became
    unreadable, and kept their outcome.
    """

    name: str
    split: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class ScoreRow:
    """The scores of a condition."""

    name: str
    dose: str
    lines: tuple[ScoreLine, ...]


@dataclass(frozen=True)
class ReceiptLine:
    """What was applied in a condition.

    `cells`: sites, calls, rows, steps, tokens, tokens that gates let through, ratio, peak, factor of calibration,
    divergence.
    `notes`: what pushes at several sites add up to, and warnings.
    """

    name: str
    attributes: tuple[str, ...]
    cells: tuple[str, ...]
    notes: tuple[str, ...]


def score_row(row: Row, kinds: Sequence[str]) -> ScoreRow:
    """A row of scores."""
    dose = [f"KL {small(row.kl)} nats a token"] if row.kl is not None else []
    dose += [f"{percent(row.ratio)} of the residual norm"] if row.ratio is not None else []
    lines = tuple(_line(name, metric, kinds) for name, metric in row.metrics.items())
    return ScoreRow(row.condition, " · ".join(dose), lines)


def control_kinds(rows: Sequence[Row]) -> tuple[str, ...]:
    """The kinds of controls that some rows stand beside; random directions have a column in any case."""
    return tuple(dict.fromkeys(("random", *(k for row in rows for one in row.metrics.values() for k in one.controls))))


def flip_lines(rows: Sequence[Row]) -> list[FlipLine]:
    """How answers changed, a line for each row and split."""
    return [FlipLine(row.condition, split, _flipped(counts)) for row in rows for split, counts in row.flips.items()]


def cell(name: str, score: Interval | None, *, change: bool = False) -> Cell | None:
    """A score with its interval; None where there is none.

    `change`: a change has its own n where something was not scored in both runs.
    """
    if score is None:
        return None
    places = digits(name)
    if not change:
        return Cell(number(score.value, places), bracket(score, places))
    own = f" n = {score.n}" if score.unscored else ""
    return Cell(signed(score.value, places), bracket(score, places) + own)


def receipt_lines(run: Run) -> list[ReceiptLine]:
    """What was applied, in the order of the conditions."""
    applied = [one for one in run.conditions if one.kind != "unsteered" and one.name in run.receipts]
    return [_receipt(one, run.receipts[one.name], run.doses.get(one.name)) for one in applied]


def _line(name: str, metric: Metric, kinds: Sequence[str]) -> ScoreLine:
    unscored = metric.steered.unscored
    controls = [(metric.controls.get(kind), metric.changes.get(kind)) for kind in kinds]
    return ScoreLine(
        metric=name,
        meaning=meaning(name),
        picture=interval_picture(name, metric),
        cells=(
            cell(name, metric.steered),
            cell(name, metric.difference, change=True),
            cell(name, metric.unsteered),
        ),
        controls=tuple((cell(name, one), cell(name, its, change=True)) for one, its in controls),
        chance=number(metric.chance) if metric.chance is not None else "",
        n=metric.steered.n,
        unscored=f"{unscored} unscored" if unscored else "",
    )


def _flipped(counts: Mapping[str, int]) -> tuple[str, ...]:
    def sum_of(kept: Callable[[str, str], bool]) -> str:
        return f"{sum(count for move, count in counts.items() if kept(*move.split('->'))):,}"

    return (
        sum_of(lambda old, new: old not in RIGHT and new in RIGHT),
        sum_of(lambda old, new: old in RIGHT and new not in RIGHT),
        sum_of(lambda old, new: old in YES and new not in (*YES, LOST)),
        sum_of(lambda old, new: old not in (*YES, LOST) and new in YES),
        sum_of(lambda old, new: old == LOST != new),
        sum_of(lambda old, new: old != LOST == new),
        sum_of(lambda old, new: old == new),
    )


def _receipt(condition: Condition, receipt: Receipt, dose: Dose | None) -> ReceiptLine:
    peak = max((site.peak for site in receipt.sites.values()), default=None)
    factor = dose.factor if dose else None
    cells = (
        *(f"{count:,}" for count in (len(receipt.sites), receipt.calls, receipt.rows, receipt.steps, receipt.tokens)),
        _gates(receipt),
        _ratio(receipt),
        percent(peak),
        small(factor) if factor is not None else "",
        small(receipt.kl) if receipt.kl is not None else "",
    )
    totals = [f"the pushes at {one.sites} sites add up to {percent(one.ratio)} at {one.last}" for one in receipt.totals]
    notes = (*totals, *(f"Warning: {warning}" for warning in receipt.warnings))
    return ReceiptLine(condition.name, tuple(receipt.attributes or condition.applied), cells, notes)


def _gates(receipt: Receipt) -> str:
    asked, passed = (sum(getattr(one, key) for one in receipt.gates.values()) for key in ("asked", "passed"))
    return f"{passed:,} of {asked:,}" if receipt.gates else ""


def _ratio(receipt: Receipt) -> str:
    if receipt.median is None:
        return percent(receipt.ratio)
    sampled = ", sampled" if receipt.sampled else ""
    return f"{percent(receipt.median)} ({percent(receipt.low)} to {percent(receipt.high)}{sampled})"
