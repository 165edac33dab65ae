"""Recipes for models that see: images in, captions and answers out, judged against what is there."""

from mmsteer.recipes.vision.bench import VisionBench
from mmsteer.recipes.vision.modality import (
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
    "VisionBench",
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
