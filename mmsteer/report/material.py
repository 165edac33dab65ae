"""What a run was generated from, from the run itself: the words of a copied recipe may be about other data."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mmsteer.report.run_data import Run
from mmsteer.report.wording import NOUNS, plural


def material(run: Run) -> str:
    """How many conditions were steered, on how many prompts, images or rows, and whose."""
    conditions = plural(len(run.steered), "steered condition")
    return f"{conditions} on {plural(run.items, NOUNS[run.kind][0])} {_origin(run.sources)}".strip()


def _origin(sources: Mapping[str, Any]) -> str:
    data, prompts = sources.get("data"), sources.get("prompts")
    if data:
        # Rows that were given from Python come from no file.
        return f"of {PurePath(data['files']).name}" if "files" in data else "given from Python"
    if prompts:
        return "of the rendered world" if "world" in prompts else "of the recipe"
    images: Mapping[str, Any] = sources.get("images") or {"": {}}
    kind, source = next(iter(images.items()))
    words = {
        "scenes": f"of the rendered world, split {source.get('split')}",
        "coco": f"of COCO's layout, split {source.get('split')}",
        "folder": f"of the folder {PurePath(source.get('images') or '').name}",
        "amber": "of AMBER",
    }
    return words.get(kind, "")
