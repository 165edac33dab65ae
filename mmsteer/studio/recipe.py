"""What was tried by hand, as a recipe that `mmsteer run` runs beside its controls."""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from mmsteer.direction_file import save_directions
from mmsteer.errors import StudioError
from mmsteer.recipes.checks import check_recipe
from mmsteer.studio.workshop import Asked, Workshop

ENDINGS = ("png", "jsonl", "safetensors", "yaml")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def save_recipe(workshop: Workshop, asked: Asked, name: str) -> Path:
    """Write NAME.yaml, its directions and its rows into the studio's folder.

    Args:
        workshop: The model and its directions.
        asked: What was tried.
        name: Of the recipe.

    Raises:
        StudioError: The name cannot be a file's, or is taken.
        RecipeError: No recipe can say what was tried; nothing is written.
    """
    if not NAME.fullmatch(name.strip()):
        raise StudioError(f"{name.strip()!r} is no name of a recipe; take letters, digits, dots and dashes")
    files = [f"{name.strip()}.{ending}" for ending in ENDINGS]
    taken = [one for one in reversed(files) if (workshop.folder / one).exists()]
    if taken:
        raise StudioError(f"{taken[0]} is in {workshop.folder} already; choose another name")
    with TemporaryDirectory(dir=workshop.folder, prefix=".draft-") as draft:
        _write(workshop, asked, Path(draft) / name.strip())
        check_recipe(Path(draft) / files[-1])
        for one in files:  # the recipe last, which names the others
            if (Path(draft) / one).exists():
                (Path(draft) / one).rename(workshop.folder / one)
    return workshop.folder / files[-1]


def _write(workshop: Workshop, asked: Asked, stem: Path) -> None:
    png, jsonl, safetensors, recipe = (stem.with_name(f"{stem.name}.{ending}") for ending in ENDINGS)
    steering = workshop.steering(asked.lines)
    used = {item.direction.name: item.direction for item in steering.attributes}
    used |= {item.gate.direction.name: item.gate.direction for item in steering.attributes if item.gate}
    save_directions(safetensors, used.values())
    jsonl.write_text(json.dumps(_row(asked, png)) + "\n", encoding="utf-8")
    text = yaml.safe_dump(_recipe(workshop, asked, stem.name), sort_keys=False, allow_unicode=True)
    recipe.write_text(text, encoding="utf-8")


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
