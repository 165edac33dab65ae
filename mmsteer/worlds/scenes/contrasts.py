"""Demonstrations of rendered scenes, and contrasts about one object of a scene: added, named or asked for."""

import re
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from mmsteer.data.contrasts import Contrast, Demo, paired
from mmsteer.data.contrasts.endings import shares_a_sentence
from mmsteer.errors import DataError
from mmsteer.types import Sample
from mmsteer.worlds.scenes import (
    CAPTION_PROMPT,
    Caption,
    Scene,
    answer,
    caption_pair,
    question,
    render_scene,
    write_caption,
)
from mmsteer.worlds.scenes.captions import absent_companions

Decision = Literal["go on", "object", "answer"]
DECISIONS = get_args(Decision)
_TRIES = 50


def scene_demos(scenes: Sequence[Scene], seed: int, *, matched: bool = True) -> tuple[Demo, ...]:
    """Demos of rendered scenes.

    Args:
        scenes: Scenes that lack a companion, such as those of the split `demos`.
        seed: Seed of the words.
        matched: Whether the loose caption puts companions in the place of what is there, so that both name equally
            many objects and can end alike (`end_alike`); otherwise it names them after everything else.

    Raises:
        DataError: A scene lacks no companion.
    """
    return tuple(_scene_demo(scene, [seed, index], matched) for index, scene in enumerate(scenes))


def _scene_demo(scene: Scene, seed: list[int], matched: bool) -> Demo:
    rng = np.random.default_rng(seed)
    careful, loose = caption_pair(rng, scene, matched=matched)
    while matched and not shares_a_sentence(careful.text, loose.text):
        careful, loose = caption_pair(rng, scene, matched=True)
    return Demo(f"scene {seed[1]}", render_scene(scene), CAPTION_PROMPT, careful.text, loose.text)


def counterfactual(scenes: Sequence[Scene], seed: int, *, decision: Decision = "go on") -> Contrast:
    """Scenes without a companion (1) against the same scenes with it (0), in the same words up to a decision.

    Noise, the other objects and every word are the same; the two images differ in one object. The state is read at
    the last token before the decision: `go on` after a caption that has named all else, where the model ends or
    names one thing more; `object` after the article, where it chooses the thing; `answer` after the question
    whether the object is there.

    Args:
        scenes: Scenes that lack a companion, such as those of the split `demos`.
        seed: Seed of the choice and the words.
        decision: Where the state is read.

    Raises:
        DataError: The decision is unknown, or a scene lacks no companion that would be seen.
    """
    if decision not in DECISIONS:
        raise DataError(f"no decision {decision!r}; choose from {', '.join(DECISIONS)}")
    pairs = []
    for index, scene in enumerate(scenes):
        rng = np.random.default_rng([seed, index])
        name, fuller = _with_companion(rng, scene)
        prompt = question(name) if decision == "answer" else CAPTION_PROMPT
        said = None if decision == "answer" else _said(rng, scene, name, decision)
        one, two = (
            Sample(f"scene {index}/{side}", prompt, (render_scene(shown),), said)
            for side, shown in (("without", scene), ("with", fuller))
        )
        pairs.append((f"scene {index}", one, two))
    return paired(f"counterfactual ({decision})", pairs)


def mentions(scenes: Sequence[Scene], seed: int) -> Contrast:
    """Mentions of what is there (1) against mentions of what is not (0), read at the mention.

    Both stand at the same place of the same sentences, after the same words.

    Args:
        scenes: Scenes that lack a companion, such as those of the split `demos`.
        seed: Seed of the words.
    """
    pairs = []
    for index, scene in enumerate(scenes):
        careful, loose = caption_pair(np.random.default_rng([seed, index]), scene, matched=True)
        place = next(at for at, two in enumerate(zip(careful.objects, loose.objects, strict=True)) if two[0] != two[1])
        sides = (("grounded", careful), ("hallucinated", loose))
        image = render_scene(scene)
        one, two = (
            Sample(f"scene {index}/{side}", CAPTION_PROMPT, (image,), caption.text[: _mention(caption, place).end()])
            for side, caption in sides
        )
        pairs.append((f"scene {index}", one, two))
    return paired("mentions", pairs)


def answers(scenes: Sequence[Scene], seed: int, *, balanced: bool = False) -> Contrast:
    """Questions answered truly (1) and falsely (0), read at the word `Yes` or `No`.

    Asked about absent companions alone, the truth is always `No`, and the direction is also one of the word.

    Args:
        scenes: Scenes that lack a companion, such as those of the split `demos`.
        seed: Seed of the choice.
        balanced: Ask every second scene about an object that is there, so that the words say nothing.

    Raises:
        DataError: A scene lacks no companion.
    """
    pairs = []
    for index, scene in enumerate(scenes):
        rng = np.random.default_rng([seed, index])
        there = balanced and index % 2 == 1
        names = sorted(scene.objects) if there else absent_companions(scene)
        if not names:
            raise DataError(_nothing_absent(scene))
        name, image = str(rng.choice(names)), render_scene(scene)
        one, two = (
            Sample(f"scene {index}/{side}", question(name), (image,), answer(name, there=said).split()[0].strip(","))
            for side, said in (("true", there), ("false", not there))
        )
        pairs.append((f"scene {index}", one, two))
    return paired("answers", pairs)


def _nothing_absent(scene: Scene) -> str:
    return (
        f"this {scene.kind} shows {', '.join(sorted(scene.objects))}: no companion is missing that would be seen; take "
        "scenes of the split 'demos'"
    )


def _with_companion(rng: np.random.Generator, scene: Scene) -> tuple[str, Scene]:
    """An absent companion, a detail if one is absent, and the scene with it, in which it and all else is seen.

    Raises:
        DataError: There is none.
    """
    for name in sorted(rng.permutation(absent_companions(scene)), key=lambda name: name not in scene.details):
        fuller = scene.with_object(str(name))
        if fuller.objects == scene.objects | {str(name)}:
            return str(name), fuller
    raise DataError(_nothing_absent(scene))


def _said(rng: np.random.Generator, scene: Scene, name: str, decision: Decision) -> str:
    """A true caption, or one that has come to the article of the name.

    Raises:
        DataError: No caption names it.
    """
    if decision == "go on":
        return write_caption(rng, scene, believed=()).text
    for _ in range(_TRIES):
        caption = write_caption(rng, scene, believed=(name,))
        if name in caption.objects:
            return caption.text[: _mention(caption, caption.objects.index(name)).end("article")]
    raise DataError(f"no caption of this {scene.kind} names {name!r} in {_TRIES} tries")


def _mention(caption: Caption, place: int) -> re.Match[str]:
    """Where a caption names its object of that place; `next to the oven` is no mention.

    Raises:
        DataError: It does not.
    """
    match, start = None, 0
    for name in caption.objects[: place + 1]:
        pattern = re.compile(rf"\b(?P<article>an?)(?: \w+)? {re.escape(name)}\b", re.IGNORECASE)
        match = pattern.search(caption.text, start)
        if match is None:
            raise DataError(f"the caption {caption.text!r} does not name {name!r} in the order of its objects")
        start = match.end()
    assert match is not None
    return match
