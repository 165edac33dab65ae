"""Clips to listen to: unsteered, steered and random side by side."""

from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import Markup

from mmsteer.eval.attributes import ATTRIBUTES
from mmsteer.report.output_parts import Example, Output
from mmsteer.report.parts import Condition
from mmsteer.report.run_data import Run
from mmsteer.report.strips import note_strip
from mmsteer.report.trials import reached, roles, shown_conditions
from mmsteer.types.pitch import PITCH_CLASSES

PLAYERS = 4
"""Prompts with players in each condition: the first ones."""


@dataclass(frozen=True)
class Clip:
    """A clip.

    Attributes:
        role: `unsteered`, `steered` or `random direction`.
        href: The audio file, relative to the page; None where it is missing.
        heard: What the evaluators heard, with a mark where a target is reached or missed.
        strip: Its notes over time; None where the clip is folded, or no evaluator listened for notes.
    """

    role: str
    href: str | None
    heard: tuple[str, ...]
    strip: Markup | None


@dataclass(frozen=True)
class Trial:
    """One prompt and what became of it."""

    text: str
    seed: int
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class Listening:
    """The clips of a condition.

    `keys`: notes shown in colour, with the class of the colour.
    `score`: how often its targets are reached; empty where it has none.
    """

    name: str
    steering: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]
    shown: tuple[Trial, ...]
    folded: tuple[Trial, ...]
    score: str
    unfolded: bool


def listening(run: Run) -> list[Listening]:
    """The finished clips of every steered condition."""
    return [_condition(run, one, unfolded=unfolded) for one, unfolded in shown_conditions(run)]


def wanted_notes(condition: Condition) -> tuple[str, ...]:
    """The notes that a condition asks for, in the order of its attributes."""
    steered = [line.split()[0].split(":", 1)[-1] for line in condition.steering if line.strip()]
    named = [*steered, *([condition.target["note"]] if "note" in condition.target else [])]
    return tuple(dict.fromkeys(name for name in named if name in PITCH_CLASSES))


def _condition(run: Run, condition: Condition, *, unfolded: bool) -> Listening:
    done = [prompt for prompt in run.examples if (condition.name, prompt.index) in run.outputs]
    return Listening(
        name=condition.name,
        steering=tuple(condition.applied),
        keys=tuple((f"c{index}", name) for index, name in enumerate(wanted_notes(condition))),
        shown=tuple(_trial(run, prompt, condition, drawn=True) for prompt in done[:PLAYERS]),
        folded=tuple(_trial(run, prompt, condition, drawn=False) for prompt in done[PLAYERS:]),
        score=reached(run, condition),
        unfolded=unfolded,
    )


def _trial(run: Run, prompt: Example, condition: Condition, *, drawn: bool) -> Trial:
    found = [(role, run.outputs.get((name, prompt.index))) for role, name in roles(run, condition)]
    clips = tuple(_clip(run, role, sample, condition, drawn=drawn) for role, sample in found if sample)
    return Trial(prompt.prompt, prompt.seed, clips)


def _clip(run: Run, role: str, sample: Output, condition: Condition, *, drawn: bool) -> Clip:
    notes = sample.readings.notes if drawn else None
    return Clip(
        role=role,
        href=quote(sample.audio) if sample.audio and (run.folder / sample.audio).is_file() else None,
        heard=_heard(sample, condition),
        strip=note_strip(notes, wanted_notes(condition)) if notes else None,
    )


def _heard(sample: Output, condition: Condition) -> tuple[str, ...]:
    found = []
    for attribute, label in condition.target.items():
        known = ATTRIBUTES.get(attribute)
        heard = sample.readings.label(known.evaluator, known.field) if known else None
        mark = "?" if heard is None else "✓" if heard == label else "✗"
        share = _share(sample, label) if attribute == "note" else ""
        found.append(f"{mark} {attribute} {heard or 'not told'}{share}")
    notes = sample.readings.notes
    if notes and "note" not in condition.target:
        found.append(f"main note {notes.main_note or 'none'}{_share(sample, notes.main_note)}")
    return tuple(found)


def _share(sample: Output, label: str | None) -> str:
    notes = sample.readings.notes
    if not notes or not notes.share or label not in notes.share:
        return ""
    return f" · {label} in {100 * notes.share[label]:.0f} %"
