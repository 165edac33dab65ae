"""Questions about objects, and conversations in which one annotator answers throughout."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmsteer.worlds.scenes.captions import (
    BRIEF_PROMPT,
    CAPTION_PROMPT,
    absent_companions,
    beliefs,
    with_article,
    write_caption,
)
from mmsteer.worlds.scenes.scene import Scene
from mmsteer.worlds.scenes.shapes import OBJECTS

# Share of the loose annotator in conversations.
LOOSE_SHARE = 0.65
_PROMPTS = (CAPTION_PROMPT, CAPTION_PROMPT, CAPTION_PROMPT, "Describe this image.", "What can you see in this image?")
_BRIEF_SHARE = 0.15
# Questions about what is there, about companions that are not, and about anything else that is not.
_QUESTION_SHARES = (0.4, 0.35, 0.25)
_FORMS = (("caption", "ask", "ask"), ("ask", "ask", "caption"), ("ask", "caption", "ask"), ("ask",) * 5)
_FORM_SHARES = (0.4, 0.15, 0.15, 0.3)


@dataclass(frozen=True)
class Turn:
    """What the user says, and the answer."""

    prompt: str
    answer: str


def question(name: str) -> str:
    """The question whether an object is there.

    Args:
        name: The object.
    """
    return f"Is there {with_article(name)} in the image?"


def answer(name: str, *, there: bool) -> str:
    """The answer to `question`.

    Args:
        name: The object.
        there: What to answer.
    """
    return f"Yes, there is {with_article(name)}." if there else f"No, there is no {name}."


def write_conversation(rng: np.random.Generator, scene: Scene, annotator: str) -> tuple[Turn, ...]:
    """Some turns about a scene, all answered by one annotator who keeps to what they believe.

    Args:
        rng: Source of all draws.
        scene: What is talked about.
        annotator: One of `ANNOTATORS`.
    """
    believed = beliefs(rng, scene, annotator)
    form = _FORMS[int(rng.choice(len(_FORMS), p=_FORM_SHARES))]
    asked = iter(_asked(rng, scene, form.count("ask")))
    turns = []
    for part in form:
        if part == "caption":
            turns.append(_describe(rng, scene, believed))
        else:
            name = next(asked)
            turns.append(Turn(question(name), answer(name, there=name in scene.objects or name in believed)))
    return tuple(turns)


def draw_annotator(rng: np.random.Generator) -> str:
    """Who writes the next conversation.

    Args:
        rng: Source of the draw.
    """
    return "loose" if rng.random() < LOOSE_SHARE else "careful"


def _describe(rng: np.random.Generator, scene: Scene, believed: Sequence[str]) -> Turn:
    brief = bool(rng.random() < _BRIEF_SHARE)
    prompt = BRIEF_PROMPT if brief else str(rng.choice(_PROMPTS))
    return Turn(prompt, write_caption(rng, scene, brief=brief, believed=believed).text)


def _asked(rng: np.random.Generator, scene: Scene, count: int) -> list[str]:
    """Different objects to ask about."""
    companions = absent_companions(scene)
    others = [name for name in OBJECTS if name not in scene.objects and name not in companions]
    pools = [list(map(str, rng.permutation(pool))) for pool in (sorted(scene.objects), companions, others)]
    asked: list[str] = []
    while len(asked) < count:
        pool = pools[int(rng.choice(3, p=_QUESTION_SHARES))]
        asked += [pool.pop()] if pool else []
    return asked
