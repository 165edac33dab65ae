"""Pictures with what was said of them: captions and answers before and after, the most changed ones first."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from mmsteer.report.captions import Said, said
from mmsteer.report.output_parts import Asked, Example, Output
from mmsteer.report.parts import Condition
from mmsteer.report.run_data import Run
from mmsteer.report.trials import reached, roles, shown_conditions
from mmsteer.report.wording import plural, signed

SHOWN = 6
"""Pictures that a list begins with: the most changed ones."""
BROWSED = 40
"""Pictures that are folded below them, in the conditions that are not folded themselves."""


@dataclass(frozen=True)
class Flip:
    """An answer that changed.

    `before`: what was said without steering, with a mark where it was right or wrong.
    `kind`: `right` where it became right, `wrong` where it became wrong, or empty.
    """

    question: str
    label: str
    before: str
    after: str
    kind: str


@dataclass(frozen=True)
class Card:
    """A picture.

    `href`: the image file, relative to the page; None where it is missing.
    """

    name: str
    href: str | None
    alt: str
    said: tuple[Said, ...]
    flips: tuple[Flip, ...]


@dataclass(frozen=True)
class Shelf:
    """Cards in the order of how much changed."""

    about: str
    shown: tuple[Card, ...]
    folded: tuple[Card, ...]
    left_out: int


@dataclass(frozen=True)
class Gallery:
    """The pictures of a condition.

    `captions`: pictures with captions; None where none is finished.
    `answers`: pictures with answers that changed; None where there is none.
    """

    name: str
    steering: tuple[str, ...]
    score: str
    captions: Shelf | None
    answers: Shelf | None
    unfolded: bool


@dataclass(frozen=True)
class Seen:
    """A picture before and after.

    `before`: without steering; None where that was left out or is not finished.
    """

    picture: Example
    before: Output | None
    after: Output


def galleries(run: Run) -> list[Gallery]:
    """The finished pictures of every steered condition."""
    return [_gallery(run, one, unfolded=unfolded) for one, unfolded in shown_conditions(run)]


def _gallery(run: Run, condition: Condition, *, unfolded: bool) -> Gallery:
    beside = roles(run, condition)
    before = next((name for role, name in beside if role == "unsteered"), "")
    seen = [
        Seen(picture, run.outputs.get((before, picture.index)), view)
        for picture in run.examples
        if (view := run.outputs.get((condition.name, picture.index)))
    ]
    captioned = [one for one in seen if one.after.caption is not None]
    answered = [one for one in seen if flips(one)]
    most = SHOWN + (BROWSED if unfolded else 0)
    return Gallery(
        name=condition.name,
        steering=tuple(condition.applied),
        score=reached(run, condition),
        captions=_shelf(captioned, changed_objects, most, lambda one: _described(run, one, beside), _fewer),
        answers=_shelf(answered, lambda one: len(flips(one)), most, lambda one: _asked(run, one), _became),
        unfolded=unfolded,
    )


def _shelf(
    seen: Sequence[Seen],
    changed: Callable[[Seen], int],
    most: int,
    card: Callable[[Seen], Card],
    about: Callable[[Sequence[Seen]], str],
) -> Shelf | None:
    if not seen:
        return None
    order = sorted(seen, key=lambda one: (-changed(one), one.picture.index))
    cards = tuple(card(one) for one in order[:most])
    return Shelf(about(seen), cards[:SHOWN], cards[SHOWN:], len(seen) - len(cards))


def changed_objects(seen: Seen) -> int:
    """How many objects one of the two captions names and the other does not."""
    before = {mention.object for mention in seen.before.mentions} if seen.before else set()
    return len(before ^ {mention.object for mention in seen.after.mentions})


def flips(seen: Seen) -> tuple[Flip, ...]:
    """The answers that changed."""
    old = (seen.before.answers if seen.before else None) or []
    pairs = zip(old, seen.after.answers or [], strict=False)
    return tuple(_flip(before, after) for before, after in pairs if before.outcome != after.outcome)


def _flip(before: Asked, after: Asked) -> Flip:
    kind = "" if before.right == after.right else "right" if after.right else "wrong"
    return Flip(after.question, after.label, _answered(before), _answered(after), kind)


def _answered(answer: Asked) -> str:
    mark = "?" if answer.outcome == "unparsed" else "✓" if answer.right else "✗"
    if answer.logit is not None:
        return f"{mark} {answer.said} (log odds {signed(answer.logit)})"
    return f"{mark} {answer.said} (“{(answer.answer or '')[:80]}”)"


def _described(run: Run, seen: Seen, beside: Sequence[tuple[str, str]]) -> Card:
    views = [(role, run.outputs.get((name, seen.picture.index))) for role, name in beside]
    return _card(run, seen.picture, tuple(said(role, view) for role, view in views if view), ())


def _asked(run: Run, seen: Seen) -> Card:
    return _card(run, seen.picture, (), flips(seen))


def _card(run: Run, picture: Example, spoken: tuple[Said, ...], changed: tuple[Flip, ...]) -> Card:
    objects = None if picture.objects is None else ", ".join(picture.objects) or "none that CHAIR knows"
    alt = f"the image {picture.id}" if objects is None else f"objects there: {objects}"
    href = next((quote(file) for file in picture.images if (run.folder / file).is_file()), None)
    return Card(picture.id, href, alt, spoken, changed)


def _fewer(seen: Sequence[Seen]) -> str:
    """How hallucinations changed, picture by picture."""
    both = [one for one in seen if one.before]
    if not both:
        return f"{plural(len(seen), 'captioned image')}, nothing unsteered beside them"
    moves = Counter((_wrong(one.after) > _wrong(one.before)) - (_wrong(one.after) < _wrong(one.before)) for one in both)
    return (
        f"Objects that are not there: fewer than unsteered in {plural(moves[-1], 'image')}, "
        f"more in {moves[1]}, as many in {moves[0]}"
    )


def _wrong(view: Output | None) -> int:
    return len({mention.object for mention in view.mentions if mention.hallucinated}) if view else 0


def _became(seen: Sequence[Seen]) -> str:
    kinds = Counter(flip.kind for one in seen for flip in flips(one))
    return (
        f"Answers that changed: {kinds['right']} became right, {kinds['wrong']} became wrong, {kinds['']} neither, "
        f"in {plural(len(seen), 'image')}"
    )
