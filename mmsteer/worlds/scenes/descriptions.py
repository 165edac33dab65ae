"""What a truthful annotator writes of a scene: one sentence, several, a list, and answers to questions.

Nothing here names an object that the scene does not show. Objects are named from the largest to the smallest, roughly,
as people do it, and faint details at the end, or not at all in one sentence; a language model that learns from these
texts is shown no false word.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from mmsteer.worlds.scenes.captions import BRIEF_PROMPT, CAPTION_PROMPT, absent_companions, places, with_article
from mmsteer.worlds.scenes.conversations import Turn, answer, question
from mmsteer.worlds.scenes.scene import Scene
from mmsteer.worlds.scenes.shapes import OBJECTS
from mmsteer.worlds.scenes.sight import coverage

SENTENCE_PROMPT = "Describe this image in one sentence."
DETAIL_PROMPTS = (
    *(CAPTION_PROMPT, CAPTION_PROMPT, "Describe this image in detail."),
    *("Describe everything that you can see in this image.", "Write a detailed description of this picture."),
)
SENTENCE_PROMPTS = (SENTENCE_PROMPT, BRIEF_PROMPT, "Describe this image.", "What is shown in this picture?")
LIST_PROMPTS = ("List the objects in this image.", "Which objects can you see?", "What is in this picture?")

COLOUR_SHARE = 0.35
PAIR_SHARE = 0.3
LIGHT_SHARE = 0.3
FULL_ANSWER_SHARE = 0.4
COMPANION_SHARE = 0.6
"""Of the questions about what is not there, those about what one expects there."""
_GRID = 8
_DARK, _BRIGHT = 0.7, 0.95

_OPENINGS = (
    *("The image shows {place}.", "This is a picture of {place}.", "We see {place}."),
    *("The picture was taken in {place}.", "The scene is {place}."),
)
_SINGLE = (
    *("There is {what} {where}.", "{What} is {where}.", "{Where}, there is {what}.", "{What} can be seen {where}."),
    *("I can see {what} {where}.", "There is also {what} {where}."),
)
_PAIR = (
    *("There is {what} {where} and {what2} {where2}.", "{What} and {what2} can be seen."),
    "Beside {what} {where}, there is {what2} {where2}.",
)
_SENTENCES = (
    *("{Place} with {list}.", "The image shows {place} with {list}.", "{List} in {place}."),
    "There is {list} in {place}.",
)
_COLOURS = ("What colour is the {name}?", "Which colour does the {name} have?")


def describe(rng: np.random.Generator, scene: Scene) -> Turn:
    """A prompt for details, and several sentences that name everything in sight.

    Args:
        rng: Source of all draws.
        scene: What is described.
    """
    sentences = [_pick(rng, _OPENINGS).format(place=_place(scene))]
    rest = by_prominence(rng, scene)
    while rest:
        size = 2 if rng.random() < PAIR_SHARE else 1
        sentences.append(_sentence(rng, scene, rest[:size]))
        rest = rest[size:]
    if rng.random() < LIGHT_SHARE:
        sentences.append(_light(scene))
    return Turn(_pick(rng, DETAIL_PROMPTS), " ".join(sentences))


def summarise(rng: np.random.Generator, scene: Scene) -> Turn:
    """A prompt for one sentence, and one that names everything in sight but details.

    Args:
        rng: Source of all draws.
        scene: What is described.
    """
    nouns = [_noun(rng, scene, name) for name in by_prominence(rng, scene) if name not in scene.details]
    form = _pick(rng, _SENTENCES if nouns else ("{Place}.",))
    text = form.format(
        place=_place(scene), Place=_capital(_place(scene)), list=_listed(nouns), List=_capital(_listed(nouns))
    )
    return Turn(_pick(rng, SENTENCE_PROMPTS), text)


def enumerate_objects(rng: np.random.Generator, scene: Scene) -> Turn:
    """A prompt for a list, and the names of everything in sight.

    Args:
        rng: Source of all draws.
        scene: What is described.
    """
    return Turn(_pick(rng, LIST_PROMPTS), f"{_capital(_listed([*map(with_article, by_prominence(rng, scene))]))}.")


def questions(rng: np.random.Generator, scene: Scene, pairs: int) -> tuple[Turn, ...]:
    """Questions about objects, as many answered yes as no.

    Args:
        rng: Source of all draws.
        scene: What is asked about.
        pairs: Most questions of each answer; fewer where fewer objects are in sight.
    """
    there = list(map(str, rng.permutation(sorted(scene.objects))))[:pairs]
    gone = _absent(rng, scene)
    asked = [(name, True) for name in there] + [(next(gone), False) for _ in there]
    return tuple(Turn(question(name), _answer(rng, name, there=yes)) for name, yes in asked)


def detail_question(rng: np.random.Generator, scene: Scene) -> Turn | None:
    """A question about the colour or the place of an object in sight; None where nothing is.

    Args:
        rng: Source of all draws.
        scene: What is asked about.
    """
    named = sorted(scene.objects)
    if not named:
        return None
    name = _pick(rng, named)
    colour = scene.thing(name).colour
    if colour and rng.random() < 0.5:
        return Turn(_pick(rng, _COLOURS).format(name=name), f"The {name} is {colour}.")
    return Turn(f"Where is the {name}?", f"The {name} is {_pick(rng, places(scene, name))}.")


def by_prominence(rng: np.random.Generator, scene: Scene) -> list[str]:
    """Everything in sight, roughly from the largest to the smallest, and details at the end.

    Args:
        rng: Source of the roughness.
        scene: The scene.
    """
    areas = {name: float(share.sum()) for name, share in coverage(scene.things, _GRID).items() if name in scene.objects}
    size = {name: area * float(np.exp(0.3 * rng.standard_normal())) for name, area in areas.items()}
    return sorted(areas, key=lambda name: (name in scene.details, -size[name]))


def _absent(rng: np.random.Generator, scene: Scene) -> Iterator[str]:
    """Objects that are not there, companions more often than others."""
    companions = list(map(str, rng.permutation(absent_companions(scene))))
    drawn = {thing.name for thing in scene.things}
    others = [str(name) for name in rng.permutation(OBJECTS) if name not in drawn and name not in companions]
    while others:
        yield companions.pop() if companions and rng.random() < COMPANION_SHARE else others.pop()


def _answer(rng: np.random.Generator, name: str, *, there: bool) -> str:
    if rng.random() < FULL_ANSWER_SHARE:
        return answer(name, there=there)
    return "Yes." if there else "No."


def _sentence(rng: np.random.Generator, scene: Scene, names: Sequence[str]) -> str:
    what = [_noun(rng, scene, name) for name in names]
    where = [_pick(rng, places(scene, name)) for name in names]
    words = {"what": what[0], "What": _capital(what[0]), "where": where[0], "Where": _capital(where[0])}
    words |= {"what2": what[-1], "where2": where[-1]}
    return _pick(rng, _PAIR if len(names) > 1 else _SINGLE).format(**words)


def _light(scene: Scene) -> str:
    if scene.light < _DARK:
        return "The picture is rather dark."
    return "The scene is brightly lit." if scene.light > _BRIGHT else "The light is soft."


def _noun(rng: np.random.Generator, scene: Scene, name: str) -> str:
    colour = scene.thing(name).colour if rng.random() < COLOUR_SHARE else ""
    return with_article(f"{colour} {name}".strip())


def _place(scene: Scene) -> str:
    return with_article(scene.kind)


def _listed(nouns: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(nouns[:-1]), *nouns[-1:]]))


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _capital(phrase: str) -> str:
    return phrase[:1].upper() + phrase[1:]
