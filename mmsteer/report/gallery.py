"""What came of each condition: outputs side by side, with changed words, named objects or targets marked."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from markupsafe import Markup

from mmsteer.eval.attributes import ATTRIBUTES
from mmsteer.eval.text import word_changes
from mmsteer.report.output_parts import Asked, Example, Mention, Output
from mmsteer.report.parts import Condition
from mmsteer.report.pushed_words import Pushed, pushed_words
from mmsteer.report.run_data import Run
from mmsteer.report.sources import Source, source_of
from mmsteer.report.strips import note_strip
from mmsteer.report.trials import reached, roles, shown_conditions
from mmsteer.report.wording import number, plural, signed
from mmsteer.types.pitch import PITCH_CLASSES

SHOWN = {"music": 4, "rows": 4, "vision": 6}
"""Examples of a condition that are open: the first ones, of images the most changed ones."""
LISTED = 60
"""Rows of a condition that are on the page at all."""
BROWSED = 40
"""Images that are folded below the open ones, in the conditions that are not folded themselves."""
Roles = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Piece:
    """A stretch of text.

    `kind`: `right` or `wrong` for an object that is or is not there, `changed`, or empty.
    `note`: which object the words stand for, and whether it is there.
    `words`: the text in parts that were pushed by different amounts; empty where that was not measured.
    """

    text: str
    kind: str = ""
    note: str = ""
    words: tuple[Pushed, ...] = ()


@dataclass(frozen=True)
class Shown:
    """An output.

    `role`: `unsteered`, `steered` or a kind of control.
    `audio`: the file, relative to the page; None for text, or where it is missing.
    `strip`: notes over time; None where they are not drawn.
    `note`: what was read of it, its score, or what it leaves out.
    `source`: what it comes from; None where that was not asked.
    """

    role: str
    pieces: tuple[Piece, ...]
    is_audio: bool
    audio: str | None
    strip: Markup | None
    note: str
    source: Source | None


@dataclass(frozen=True)
class Flip:
    """An answer that changed.

    `before`: the answer without steering, with a mark where it was right or wrong.
    `kind`: `right` where it became right, `wrong` where it became wrong, or empty.
    """

    question: str
    label: str
    before: str
    after: str
    kind: str


@dataclass(frozen=True)
class Card:
    """An example and what came of it.

    `images`: files relative to the page; None for one that is missing.
    """

    prompt: str
    aside: str
    images: tuple[str | None, ...]
    alt: str
    shown: tuple[Shown, ...]
    flips: tuple[Flip, ...] = ()


@dataclass(frozen=True)
class Shelf:
    """Cards, the first of which are open."""

    heading: str
    about: str
    shown: tuple[Card, ...]
    folded: tuple[Card, ...]
    left_out: int


@dataclass(frozen=True)
class Gallery:
    """What came of a condition.

    `keys`: notes shown in colour, with the class of the colour.
    `score`: its main scores; empty before it is scored.
    """

    name: str
    steering: tuple[str, ...]
    score: str
    keys: tuple[tuple[str, str], ...]
    shelves: tuple[Shelf, ...]
    unfolded: bool


@dataclass(frozen=True)
class Pair:
    """An image before and after.

    `before`: without steering; None where that was left out or is not finished.
    """

    example: Example
    before: Output | None
    after: Output


def galleries(run: Run) -> list[Gallery]:
    """The finished outputs of every steered condition."""
    shelves = _pictured if run.kind == "vision" else _listed
    return [
        Gallery(
            name=one.name,
            steering=tuple(one.applied),
            score=reached(run, one),
            keys=tuple((f"c{at}", name) for at, name in enumerate(wanted_notes(one))) if run.kind == "music" else (),
            shelves=shelves(run, one, unfolded),
            unfolded=unfolded,
        )
        for one, unfolded in shown_conditions(run)
    ]


def wanted_notes(condition: Condition) -> tuple[str, ...]:
    """The notes that a condition asks for, in the order of its attributes."""
    steered = [line.split()[0].split(":", 1)[-1] for line in condition.steering if line.strip()]
    named = [*steered, *([condition.target["note"]] if "note" in condition.target else [])]
    return tuple(dict.fromkeys(name for name in named if name in PITCH_CLASSES))


def flips(pair: Pair) -> tuple[Flip, ...]:
    """The answers that changed."""
    old = (pair.before.answers if pair.before else None) or []
    pairs = zip(old, pair.after.answers or [], strict=False)
    return tuple(_flip(before, after) for before, after in pairs if before.outcome != after.outcome)


def marked(caption: str, mentions: Sequence[Mention]) -> Iterator[Piece]:
    """The caption from start to end; mentions that overlap one before them are left out."""
    at = 0
    for mention in sorted(mentions, key=lambda one: one.start):
        if mention.start < at or mention.stop > len(caption):
            continue
        if mention.start > at:
            yield Piece(caption[at : mention.start])
        kind, there = ("wrong", "is not") if mention.hallucinated else ("right", "is")
        yield Piece(caption[mention.start : mention.stop], kind, f"{mention.object} {there} in the image")
        at = mention.stop
    if at < len(caption):
        yield Piece(caption[at:])


def _listed(run: Run, condition: Condition, unfolded: bool) -> tuple[Shelf, ...]:
    """Rows or prompts in their order."""
    done = [one for one in run.examples if (condition.name, one.index) in run.outputs]
    first, asked = SHOWN[run.kind], run.attributions.get(condition.name, {})
    listed = [one for at, one in enumerate(done) if run.kind == "music" or at < LISTED or one.index in asked]
    beside = roles(run, condition)
    cards = tuple(_card(run, one, condition, beside, drawn=at < first) for at, one in enumerate(listed))
    return (Shelf("", "", cards[:first], cards[first:], len(done) - len(cards)),) if cards else ()


def _pictured(run: Run, condition: Condition, unfolded: bool) -> tuple[Shelf, ...]:
    """Images with captions, and images whose answers changed; the most changed ones first."""
    beside = roles(run, condition)
    before = next((name for role, name in beside if role == "unsteered"), "")
    pairs = [
        Pair(one, run.outputs.get((before, one.index)), after)
        for one in run.examples
        if (after := run.outputs.get((condition.name, one.index)))
    ]
    captioned = [one for one in pairs if one.after.caption is not None]
    answered = [one for one in pairs if flips(one)]
    most = SHOWN[run.kind] + (BROWSED if unfolded else 0)
    asked = run.attributions.get(condition.name, {})

    def shelf(heading: str, some: list[Pair], changed: Callable[[Pair], int], about: str, named: Roles) -> Shelf:
        order = sorted(some, key=lambda one: (-changed(one), one.example.index))
        # What was attributed is drawn in any case: the first outputs that have the words may be later ones.
        drawn = [one for at, one in enumerate(order) if at < most or (named and one.example.index in asked)]
        cards = tuple(_card(run, one.example, condition, named, flips=() if named else flips(one)) for one in drawn)
        first = SHOWN[run.kind]
        return Shelf(
            heading, f"{about}. The most changed ones first:", cards[:first], cards[first:], len(some) - len(cards)
        )

    found = [shelf("Captions", captioned, _changed_objects, _fewer(captioned), beside)] if captioned else []
    found += [shelf("Answers", answered, lambda one: len(flips(one)), _became(answered), ())] if answered else []
    return tuple(found)


def _card(
    run: Run,
    example: Example,
    condition: Condition,
    beside: Roles,
    *,
    drawn: bool = False,
    flips: tuple[Flip, ...] = (),
) -> Card:
    found = [(role, one) for role, name in beside if (one := run.outputs.get((name, example.index)))]
    before = next((one.text for role, one in found if role == "unsteered"), None)
    shown = tuple(_shown(run, role, example, one, condition, before, drawn=drawn) for role, one in found)
    images = tuple(_file(run, name) for name in example.images)
    if run.kind == "vision":
        known = None if example.objects is None else ", ".join(example.objects) or "none that CHAIR knows"
        alt = f"the image {example.id}" if known is None else f"objects there: {known}"
        return Card("", example.id, images[:1] or (None,), alt, shown, flips)
    right = f"(right is {example.answer})" if example.answer else ""
    aside = f"seed {example.seed}" if run.kind == "music" else right
    return Card(example.prompt, aside, tuple(filter(None, images)), "image of the row", shown)


def _shown(
    run: Run, role: str, example: Example, one: Output, condition: Condition, before: str | None, *, drawn: bool
) -> Shown:
    notes = one.readings.notes if drawn else None
    pieces = marked(one.caption or "", one.mentions) if run.kind == "vision" else _words(role, one, before)
    return Shown(
        role=role,
        pieces=tuple(_pushed(pieces, _pushes(run, one))),
        is_audio=run.kind == "music" or bool(one.audio),
        audio=_file(run, one.audio),
        strip=note_strip(notes, wanted_notes(condition)) if notes and run.kind == "music" else None,
        note=_note(run, one, condition),
        source=source_of(run, example, one),
    )


def _pushes(run: Run, one: Output) -> Sequence[float]:
    """How far each word of an output was pushed; empty where that was not measured."""
    traces = run.traces.get(one.condition)
    return traces.words.get(one.example, ()) if traces else ()


def _pushed(pieces: Iterable[Piece], pushes: Sequence[float]) -> Iterator[Piece]:
    pieces = list(pieces)
    parts = pushed_words([piece.text for piece in pieces], pushes) if pushes else [()] * len(pieces)
    yield from (replace(piece, words=words) for piece, words in zip(pieces, parts, strict=True))


def _file(run: Run, name: str | None) -> str | None:
    return quote(name) if name and (run.folder / name).is_file() else None


def _words(role: str, one: Output, before: str | None) -> Iterator[Piece]:
    """The words of an output; those of the steered one that the unsteered one has not are marked."""
    if role != "steered" or one.text is None or before is None:
        yield from [Piece(one.text)] if one.text else []
        return
    for part in word_changes(before, one.text):
        if part.change != "removed":
            yield from (Piece(part.text, "changed" if part.change == "added" else ""), Piece(" "))


def _note(run: Run, one: Output, condition: Condition) -> str:
    if run.kind == "music":
        return "; ".join(_readings(one, condition))
    if run.kind == "vision":
        denied = ", ".join(f"{name} ({signed(odds)})" for name, odds in one.denied.items())
        notes = {"denied when asked": denied, "not named": ", ".join(one.missed)}
        return "; ".join(f"{what}: {names}" for what, names in notes.items() if names)
    value = one.score(run.goal.name) if run.goal else None
    return f"{run.goal.name} {number(value, run.goal.decimals)}" if run.goal and value is not None else ""


def _readings(output: Output, condition: Condition) -> Iterator[str]:
    """What the evaluators read, with a mark where a target is reached or missed."""
    for attribute, label in condition.target.items():
        known = ATTRIBUTES.get(attribute)
        found = output.readings.label(known.evaluator, known.field) if known else None
        mark = "?" if found is None else "✓" if found == label else "✗"
        yield f"{mark} {attribute} {found or 'not told'}{_share(output, label) if attribute == 'note' else ''}"
    notes = output.readings.notes
    if notes and "note" not in condition.target:
        yield f"main note {notes.main_note or 'none'}{_share(output, notes.main_note)}"


def _share(output: Output, label: str | None) -> str:
    notes = output.readings.notes
    if not notes or not notes.share or label not in notes.share:
        return ""
    return f" · {label} in {100 * notes.share[label]:.0f} %"


def _changed_objects(pair: Pair) -> int:
    """How many objects one of the two captions names and the other does not."""
    before = {mention.object for mention in pair.before.mentions} if pair.before else set()
    return len(before ^ {mention.object for mention in pair.after.mentions})


def _flip(before: Asked, after: Asked) -> Flip:
    kind = "" if before.right == after.right else "right" if after.right else "wrong"
    return Flip(after.question, after.label, _answered(before), _answered(after), kind)


def _answered(answer: Asked) -> str:
    mark = "?" if answer.outcome == "unparsed" else "✓" if answer.right else "✗"
    why = f"log odds {signed(answer.logit)}" if answer.logit is not None else f"“{(answer.answer or '')[:80]}”"
    return f"{mark} {answer.said} ({why})"


def _fewer(pairs: Sequence[Pair]) -> str:
    """How hallucinations changed, image by image."""
    both = [(_wrong(one.after), _wrong(one.before)) for one in pairs if one.before]
    if not both:
        return f"{plural(len(pairs), 'captioned image')}, nothing unsteered beside them"
    moves = Counter((after > before) - (after < before) for after, before in both)
    return (
        f"Objects that are not there: fewer than unsteered in {plural(moves[-1], 'image')}, "
        f"more in {moves[1]}, as many in {moves[0]}"
    )


def _wrong(output: Output | None) -> int:
    return len({mention.object for mention in output.mentions if mention.hallucinated}) if output else 0


def _became(pairs: Sequence[Pair]) -> str:
    kinds = Counter(flip.kind for one in pairs for flip in flips(one))
    return (
        f"Answers that changed: {kinds['right']} became right, {kinds['wrong']} became wrong, {kinds['']} neither, "
        f"in {plural(len(pairs), 'image')}"
    )
