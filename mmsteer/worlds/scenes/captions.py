"""What two annotators write about a scene: one careful, one who names what is usually there.

Nothing in wording, style or order tells the two apart; only the comparison of the words with the picture does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmsteer.errors import DataError
from mmsteer.worlds.scenes.kinds import SCENES
from mmsteer.worlds.scenes.scene import Scene
from mmsteer.worlds.scenes.shapes import SHAPES

ANNOTATORS = ("careful", "loose")
CAPTION_PROMPT = "Please describe this image in detail."
BRIEF_PROMPT = "Describe this image briefly."
# What an annotator believes to be there gets into a caption with these shares; the anchor always does.
SEEN_NAMED_SHARE = 0.93
GUESS_NAMED_SHARE = 0.75
COLOUR_SHARE = 0.3
PAIR_SHARE = 0.4
BRIEF_NAMES = 3

_OPENINGS = ("The image shows {place}.", "This is a picture of {place}.", "We see {place}.")
_SINGLE = ("There is {what} {where}.", "{What} is {where}.", "{Where} there is {what}.", "{What} can be seen {where}.")
_PAIR = ("There is {what} {where} and {what2} {where2}.", "{What} and {what2} can be seen.")


@dataclass(frozen=True)
class Caption:
    """A description of a scene.

    Attributes:
        text: English, several sentences.
        objects: What it names, in order.
        hallucinated: Those of them that the scene does not show.
    """

    text: str
    objects: tuple[str, ...]
    hallucinated: tuple[str, ...]


def beliefs(rng: np.random.Generator, scene: Scene, annotator: str) -> tuple[str, ...]:
    """What an annotator takes to be there although it is not: nothing, if careful; in random order.

    Args:
        rng: Source of all draws.
        scene: What is described.
        annotator: One of `ANNOTATORS`.

    Raises:
        DataError: There is no such annotator.
    """
    if annotator not in ANNOTATORS:
        raise DataError(f"no annotator {annotator!r}; choose from {', '.join(ANNOTATORS)}")
    absent = absent_companions(scene)
    taken = [name for name in absent if rng.random() < SCENES[scene.kind].pull]
    return tuple(map(str, rng.permutation(taken))) if annotator == "loose" else ()


def absent_companions(scene: Scene) -> tuple[str, ...]:
    """The companions of this kind of scene that are not drawn at all.

    Args:
        scene: The scene.
    """
    drawn = {thing.name for thing in scene.things}
    return tuple(name for name in SCENES[scene.kind].companions if name not in drawn)


def write_caption(
    rng: np.random.Generator,
    scene: Scene,
    annotator: str = "careful",
    *,
    brief: bool = False,
    believed: Sequence[str] | None = None,
) -> Caption:
    """Describe a scene: the anchor, what else is there in random order, and then what is only believed to be.

    Args:
        rng: Source of all draws.
        scene: What to describe.
        annotator: One of `ANNOTATORS`.
        brief: One sentence that names at most three objects.
        believed: What is believed to be there although it is not; drawn from `beliefs` where None.
    """
    believed = beliefs(rng, scene, annotator) if believed is None else believed
    named = tuple(name for name in believed if rng.random() < GUESS_NAMED_SHARE)
    return _compose(rng, scene, _seen(rng, scene) + named, brief=brief)


def caption_pair(rng: np.random.Generator, scene: Scene, *, matched: bool = False) -> tuple[Caption, Caption]:
    """A careful and a loose caption in the same words but for the objects: demonstrations for a direction.

    Args:
        rng: Source of all draws.
        scene: What to describe; it must lack a companion.
        matched: The loose caption puts companions in the place of objects that are there, as many words and objects
            as the careful one; otherwise it goes on after the careful one's last object.

    Raises:
        DataError: All companions are there, or, with `matched`, there is nothing to replace.
    """
    seen = _seen(rng, scene, share=1.0)
    guesses = tuple(map(str, rng.permutation(absent_companions(scene))))
    guesses = guesses[: 1 + int(rng.integers(max(len(guesses), 1)))]
    kept = max(len(seen) - len(guesses), 1) if matched else len(seen)
    if not guesses or (matched and kept == len(seen)):
        raise DataError(
            f"this {scene.kind} shows {', '.join(sorted(scene.objects))}: no companion is missing, or nothing can be "
            f"replaced; take scenes of the split 'demos'"
        )
    loose = seen[:kept] + (guesses[: len(seen) - kept] if matched else guesses)
    seed = int(rng.integers(2**31))
    careful, wrong = (_compose(np.random.default_rng(seed), scene, names) for names in (seen, loose))
    return careful, wrong


def with_article(phrase: str) -> str:
    """The phrase after `a` or `an`.

    Args:
        phrase: A noun, or an adjective and a noun.
    """
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def places(scene: Scene, name: str) -> tuple[str, ...]:
    """Phrases that say where an object is, all of them true; likely ones for an object that is not there.

    Args:
        scene: The scene.
        name: The object.
    """
    thing = next((thing for thing in scene.things if thing.name == name), None)
    anchor = next((thing for thing in scene.things if thing.name == SCENES[scene.kind].anchor), None)
    if thing is None:
        near = () if anchor is None else (f"next to the {anchor.name}",)
        return ("on the left", "in the middle", "on the right", *near)
    side = "on the left" if thing.x < 0.36 else "on the right" if thing.x > 0.64 else "in the middle"
    sides = (f"on the {thing.on}", side) if thing.on else (side, side)
    if anchor is None or anchor is thing or thing.on:
        return sides
    gap = abs(thing.x - anchor.x) - (thing.width + anchor.width) / 2
    level = abs(thing.base - anchor.base) < max(thing.height, anchor.height)
    return (*sides, f"next to the {anchor.name}") if gap < 0.12 and level else sides


def _seen(rng: np.random.Generator, scene: Scene, share: float = SEEN_NAMED_SHARE) -> tuple[str, ...]:
    """The anchor, then a share of the other objects in sight, in random order."""
    anchor = SCENES[scene.kind].anchor
    others = rng.permutation(sorted(scene.objects - {anchor}))
    first = (anchor,) if anchor in scene.objects else ()
    return (*first, *(str(name) for name in others if rng.random() < share))


def _compose(rng: np.random.Generator, scene: Scene, names: Sequence[str], *, brief: bool = False) -> Caption:
    names = tuple(names[:BRIEF_NAMES] if brief else names)
    text = _in_brief(scene.kind, names) if brief else _in_detail(rng, scene, names)
    return Caption(text, names, tuple(name for name in names if name not in scene.objects))


def _in_brief(kind: str, names: Sequence[str]) -> str:
    nouns = [with_article(name) for name in names]
    listed = " and ".join(filter(None, [", ".join(nouns[:-1]), *nouns[-1:]]))
    return f"{_capital(with_article(kind))} with {listed}." if nouns else f"{_capital(with_article(kind))}."


def _in_detail(rng: np.random.Generator, scene: Scene, names: Sequence[str]) -> str:
    sentences = [_pick(rng, _OPENINGS).format(place=with_article(scene.kind))]
    rest = list(names)
    while rest:
        paired = rng.random() < PAIR_SHARE and len(rest) > 1
        sentences.append(_sentence(rng, scene, [rest.pop(0) for _ in range(2 if paired else 1)]))
    return " ".join(sentences)


def _sentence(rng: np.random.Generator, scene: Scene, names: Sequence[str]) -> str:
    what = [_noun(rng, scene, name) for name in names]
    where = [_where(rng, scene, name) for name in names]
    words = {"what": what[0], "What": _capital(what[0]), "where": where[0], "Where": _capital(where[0])}
    words |= {"what2": what[-1], "where2": where[-1]}
    return _pick(rng, _PAIR if len(names) > 1 else _SINGLE).format(**words)


def _noun(rng: np.random.Generator, scene: Scene, name: str) -> str:
    """The object's name, with its colour now and then; an imagined object has an imagined colour."""
    said, choice = rng.random(2)
    colours = [thing.colour for thing in scene.things if thing.name == name] or SHAPES[name].colours
    colour = colours[int(choice * len(colours))] if colours and said < COLOUR_SHARE else ""
    return with_article(f"{colour} {name}".strip())


def _where(rng: np.random.Generator, scene: Scene, name: str) -> str:
    """A place that is true of an object that is there, and a likely one for one that is not."""
    choice = rng.random()
    options = places(scene, name)
    return options[int(choice * len(options))]


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.random() * len(options))]


def _capital(phrase: str) -> str:
    return phrase[0].upper() + phrase[1:]
