"""What a run was generated from, from the run itself: the words of a copied recipe may be about other data."""

from pathlib import PurePath
from typing import Any

from mmsteer.report.run_data import Run
from mmsteer.report.wording import NOUNS, plural


def material(run: Run) -> str:
    """How many conditions were steered, on how many prompts, images or rows, and whose."""
    conditions = plural(len(run.steered), "steered condition")
    return f"{conditions} on {plural(len(run.examples), NOUNS[run.kind][0])} {_origin(run.data)}".strip()


def _origin(data: Any) -> str:
    if not isinstance(data, dict):
        return "of the recipe" if data else ""
    kind, source = next(iter(data.items()))
    words = {
        "files": f"of {PurePath(data.get('files') or '').name}",
        "world": "of the rendered world",
        "scenes": "of the rendered world, split {split}",
        "coco": "of COCO's layout, split {split}",
        "folder": f"of the folder {PurePath(data['folder'].get('images') or '').name}" if "folder" in data else "",
        "amber": "of AMBER",
        "rows": "given from Python",
    }
    return words.get(kind, "").format(split=source.get("split") if isinstance(source, dict) else "")
