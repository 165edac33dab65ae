"""Outputs on rows of one's own: unsteered, steered and controls side by side, with the changed words marked."""

from dataclasses import dataclass
from urllib.parse import quote

from mmsteer.eval.text import Segment, word_changes
from mmsteer.report.output_parts import Example, Output
from mmsteer.report.parts import Condition
from mmsteer.report.run_data import Run
from mmsteer.report.trials import reached, roles, shown_conditions
from mmsteer.report.wording import number

SHOWN, LISTED = 4, 60
"""Rows of a condition that are open, and that are on the page at all: the first ones, not the best."""


@dataclass(frozen=True)
class Said:
    """An output.

    Attributes:
        role: `unsteered`, `steered` or a kind of control.
        pieces: Its words; those of the steered output that the unsteered one has not are `added`.
        audio: The audio file, relative to the page; None for text, or where it is missing.
        score: The goal and its value; empty where there is none.
    """

    role: str
    pieces: tuple[Segment, ...]
    audio: str | None
    score: str


@dataclass(frozen=True)
class Card:
    """One row and what became of it.

    `answer`: the right answer; None where there is none.
    """

    prompt: str
    answer: str | None
    images: tuple[str, ...]
    said: tuple[Said, ...]


@dataclass(frozen=True)
class Answers:
    """The outputs of a condition."""

    name: str
    steering: tuple[str, ...]
    shown: tuple[Card, ...]
    folded: tuple[Card, ...]
    left_out: int
    score: str
    unfolded: bool


def answers(run: Run) -> list[Answers]:
    """The finished outputs of every steered condition."""
    return [_condition(run, one, unfolded=unfolded) for one, unfolded in shown_conditions(run)]


def _condition(run: Run, condition: Condition, *, unfolded: bool) -> Answers:
    done = [one for one in run.examples if (condition.name, one.index) in run.outputs]
    cards = [_card(run, one, condition) for one in done[:LISTED]]
    return Answers(
        name=condition.name,
        steering=tuple(condition.applied),
        shown=tuple(cards[:SHOWN]),
        folded=tuple(cards[SHOWN:]),
        left_out=max(0, len(done) - LISTED),
        score=reached(run, condition),
        unfolded=unfolded,
    )


def _card(run: Run, example: Example, condition: Condition) -> Card:
    found = [(role, run.outputs.get((name, example.index))) for role, name in roles(run, condition)]
    before = next((one.text for role, one in found if role == "unsteered" and one), None)
    return Card(
        example.prompt,
        example.answer,
        tuple(quote(name) for name in example.images if (run.folder / name).is_file()),
        tuple(_said(run, role, one, before) for role, one in found if one),
    )


def _said(run: Run, role: str, one: Output, before: str | None) -> Said:
    value = one.score(run.goal.name) if run.goal else None
    return Said(
        role,
        _pieces(role, one.text, before),
        quote(one.audio) if one.audio and (run.folder / one.audio).is_file() else None,
        f"{run.goal.name} {number(value, run.goal.decimals)}" if run.goal and value is not None else "",
    )


def _pieces(role: str, text: str | None, before: str | None) -> tuple[Segment, ...]:
    if role != "steered" or text is None or before is None:
        return (Segment("same", text or ""),)
    return tuple(one for one in word_changes(before, text) if one.change != "removed")
