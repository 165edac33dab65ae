"""Words for what COCO has no class for: an open-vocabulary reading of captions, where all of the truth is known.

CHAIR reads 80 classes: a caption may say "lamp" of a room without one and lose nothing. Where a picture is rendered,
everything in it is known, and a noun of this list that names no part of it names what is not there. The list holds
common things of rooms and streets; words that are as often something else ("picture", "light", "glass") are left out,
and so are parts of things ("wheel", "screen").
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mmsteer.eval.chair_synonyms import Synonyms, coco_synonyms
from mmsteer.json_lines import read_json


@cache
def open_nouns() -> Synonyms:
    """The words of each class that COCO lacks."""
    found: Mapping[str, list[str]] = read_json(Path(__file__).with_name("open_nouns.json"))
    return {name: tuple(words) for name, words in found.items()}


@cache
def open_synonyms() -> Synonyms:
    """COCO's published list, and the classes that it lacks."""
    return {**coco_synonyms(), **open_nouns()}
