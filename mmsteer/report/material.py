"""What a run was generated from, from the run itself: the words of a copied recipe may be about other data."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mmsteer.report.run_data import Run
from mmsteer.report.wording import NOUNS, plural


def material(run: Run) -> str:
    """How many prompts, images or rows there are, and whose.

    Args:
        run: The run.
    """
    return f"{plural(run.items, NOUNS[run.kind][0])} {_origin(run.sources)}".strip()


def _origin(sources: Mapping[str, Any]) -> str:
    data, prompts, images = (sources.get(key) or {} for key in ("data", "prompts", "images"))
    if data:
        return f"of {PurePath(data['files']).name}"
    if prompts:
        return "of the rendered world" if "world" in prompts else "of the recipe"
    words = {
        "scenes": lambda scenes: f"of the rendered world, split {scenes['split']}",
        "coco": lambda coco: f"of COCO, split {coco['split']}",
        "folder": lambda folder: f"of the folder {PurePath(folder['images']).name}",
        "amber": lambda _: "of AMBER",
    }
    return next((word(images[key]) for key, word in words.items() if key in images), "")
