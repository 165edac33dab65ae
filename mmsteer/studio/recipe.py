"""What was tried by hand, as a recipe that `mmsteer run` runs beside its controls."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from mmsteer.direction_file import save_directions
from mmsteer.errors import StudioError
from mmsteer.recipes.checks import check_recipe
from mmsteer.studio.workshop import Asked, Workshop

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def save_recipe(workshop: Workshop, asked: Asked, name: str) -> Path:
    """Write NAME.yaml, its directions and its rows into the studio's folder.

    Args:
        workshop: The model and its directions.
        asked: What was tried.
        name: Of the recipe.

    Raises:
        StudioError: The name cannot be a file's, or is taken.
    """
    if not NAME.fullmatch(name.strip()):
        raise StudioError(f"{name.strip()!r} is no name of a recipe; take letters, digits, dots and dashes")
    stem = workshop.folder / name.strip()
    files = {ending: stem.with_name(f"{stem.name}.{ending}") for ending in ("yaml", "safetensors", "jsonl", "png")}
    taken = [one.name for one in files.values() if one.exists()]
    if taken:
        raise StudioError(f"{taken[0]} is in {workshop.folder} already; choose another name")
    steering = workshop.steering(asked.lines)
    used = {item.direction.name: item.direction for item in steering.attributes}
    used |= {item.gate.direction.name: item.gate.direction for item in steering.attributes if item.gate}
    save_directions(files["safetensors"], used.values())
    files["jsonl"].write_text(json.dumps(_row(asked, files["png"])) + "\n", encoding="utf-8")
    recipe = _recipe(workshop, asked, stem.name)
    files["yaml"].write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), encoding="utf-8")
    check_recipe(files["yaml"])
    return files["yaml"]


def _row(asked: Asked, picture: Path) -> dict[str, Any]:
    if asked.image is None:
        return {"prompt": asked.prompt}
    asked.image.save(picture)
    return {"prompt": asked.prompt, "image": picture.name}


def _recipe(workshop: Workshop, asked: Asked, name: str) -> dict[str, Any]:
    audio = workshop.model.output_kind == "audio"
    length = {"seconds": float(asked.length)} if audio else {"tokens": int(asked.length)}
    return {
        "kind": "music" if audio else "image" if workshop.model.sees else "text",
        "name": name,
        "about": "What was tried in the studio.",
        "seed": asked.seed,
        "model": {"load": workshop.name, "device": workshop.device, "dtype": workshop.dtype},
        "directions": [{"file": f"{name}.safetensors"}],
        "data": {"files": f"{name}.jsonl"},
        "generate": length | {"temperature": float(asked.temperature), "batch": 1},
        "score": {"voiced": "voiced"} if audio else {"length": "length"},
        "conditions": [{"name": "steered", "steer": list(asked.lines)}],
        "controls": {"unsteered": True, "random": 1},
    }
