"""The words that CHAIR takes for the 80 COCO classes.

The list is the published one (see NOTICE), with its slips: " motor bike" and " cheesecake" begin with a space, "iPhone"
has a capital, "stove top oven" is longer than the two words that the reference looks at. The modes that reproduce the
reference keep them; `fixed` reads what was meant.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mmsteer.errors import EvalError, clip
from mmsteer.eval.answers import read_text

Synonyms = Mapping[str, tuple[str, ...]]
"""For each class the words for it beside its name."""

ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")
VEHICLES = ("airplane", "bus", "train", "boat", "car")

COMPOUNDS = (
    *("motor bike", "motor cycle", "air plane", "traffic light", "street light", "traffic signal", "stop light"),
    *("fire hydrant", "stop sign", "parking meter", "suit case", "sports ball", "baseball bat", "baseball glove"),
    *("tennis racket", "wine glass", "hot dog", "cell phone", "mobile phone", "teddy bear", "hair drier"),
    *("potted plant", "bow tie", "laptop computer", "home plate", "train track"),
)
"""Pairs of words that the reference reads as one; the last two name no class, and keep "train" from being heard."""

NO_OBJECTS = tuple(
    f"{first} {last}"
    for first, lasts in {
        **{
            "bird's": "eye",
            "bird’s": "eye",
            "birds": "eye",
            "bird": "eye feeder bath house cage seed watcher watching",
        },
        **{"zebra": "crossing crosswalk stripe print", "mouse": "pad mat trap hole", "toilet": "paper brush"},
        "remote": "village area location island region place beach road mountain part field setting town desert forest",
        **{"apple": "logo store product watch juice pie tree computer macbook ipad", "orange": "juice"},
        **{"telephone": "pole line wire booth box", "phone": "pole booth box", "bow": "of", "bow and": "arrow"},
        **{"record": "player", "cd": "player", "dvd": "player", "music": "player", "mp3": "player"},
        **{"water": "pitcher", "glass": "pitcher", "pitcher": "of", "fork": "lift", "table": "tennis", "oven": "mitt"},
        **{"book": "store", "dog": "house food tag", "cat": "food fish", "horse": "shoe", "banana": "bread"},
    }.items()
    for last in lasts.split()
)
"""Compounds that name no object of a word in them; the reference does not know them, `fixed` does."""

LAST_WORDS = (
    *("apple laptop", "apple phone", "apple iphone", "apple keyboard", "apple mouse", "carrot cake", "cup cake"),
    *("turkey sandwich", "swan boat", "orange tie", "orange car", "orange bus", "orange cat"),
)
"""Compounds that name the object of their last word alone; for `fixed`, too."""

REFERENCE_PAIRS: Mapping[str, str] = {
    **{pair: pair for pair in COMPOUNDS},
    **{f"{age} {name}": name for age in ("baby", "adult") for name in (*ANIMALS, "animal", "cub")},
    **{f"passenger {name}": name for name in ("jet", "train")},
    **{"bow tie": "tie", "toilet seat": "toilet", "wine glas": "wine glass"},
}
"""What the reference takes a pair of singular words for."""


@cache
def coco_synonyms() -> Synonyms:
    """The published list: 80 classes."""
    text = Path(__file__).with_name("chair_synonyms.json").read_text(encoding="utf-8")
    return {name: tuple(words) for name, words in json.loads(text).items()}


def read_synonyms(path: str | Path) -> Synonyms:
    """A list in the published format: one class a line, its name first, then words for it, all between ", ".

    Raises:
        EvalError: The file cannot be read, has no class, or names one twice.
    """
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        # Exactly as the reference splits: a second space stays at the front of the next word.
        name, *words = line.strip().split(", ")
        if name in found:
            raise EvalError(f"{path}:{number}: the class {clip(name)} has a line already; write all its words on one")
        if name:
            found[name] = tuple(words)
    if not found or any(name[0] in "{[" for name in found):
        raise EvalError(f"{path} is no list of synonyms; write one class a line, such as 'tv, monitor, television'")
    return found
