"""Recipes for models that make music: prompts in, audio out, judged by listening."""

from mmsteer.recipes.music.bench import MusicBench
from mmsteer.recipes.music.modality import (
    CONTROLS,
    ENTRY,
    ITEM,
    OWN,
    POOLS,
    SCHEMA,
    SOURCE,
    bench,
    check_entry,
    files,
    identity,
    items,
    labels,
    located,
    metric_names,
    problems,
)

__all__ = [
    "CONTROLS",
    "ENTRY",
    "ITEM",
    "OWN",
    "POOLS",
    "SCHEMA",
    "SOURCE",
    "MusicBench",
    "bench",
    "check_entry",
    "files",
    "identity",
    "items",
    "labels",
    "located",
    "metric_names",
    "problems",
]
