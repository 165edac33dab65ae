"""What every harness passes on to mmsteer: a model, a file of directions, a steering line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmsteer.adapters import AnyAdapter
from mmsteer.api import parse_steering, ready_made_directions
from mmsteer.bundled import bundled_path
from mmsteer.bundled.dictionary import BUNDLED
from mmsteer.errors import AdapterError, SteeringError, clip
from mmsteer.formats import load_directions
from mmsteer.regular_file import open_regular
from mmsteer.steering import Steering
from mmsteer.types import Direction, Identity

MAX_BYTES = 64 * 1024


def located(pretrained: str) -> str:
    """The folder of a bundled model; any other name as it is.

    Args:
        pretrained: `bundled:text`, a folder, or a name on the hub.
    """
    return str(bundled_path(pretrained.removeprefix(BUNDLED))) if pretrained.startswith(BUNDLED) else pretrained


def safe_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a harness passes on to `from_pretrained`, with weights from safetensors alone.

    Args:
        options: Of the harness's model class.

    Raises:
        AdapterError: They ask for pickled weights.
    """
    if options.get("use_safetensors", True) is not True:
        raise AdapterError(
            f"use_safetensors={clip(str(options['use_safetensors']))}: weights come from safetensors alone, for "
            "others can run code; leave it out"
        )
    return {**options, "use_safetensors": True}


def given_steering(
    adapter: AnyAdapter, name: str, steer: str | None, directions: str | Path | None, compatibility: str | None
) -> Steering:
    """The steering that a harness was asked for, checked against the model before any request runs.

    Args:
        adapter: The model.
        name: What it was called.
        steer: Attributes with `;` between them, or `@FILE` with one a line; None for no steering.
        directions: The file that holds what they name; None for the ready-made ones of a bundled model.
        compatibility: How alike the model must be to the one that the directions were found in; None for `exact`.

    Raises:
        SteeringError: Directions are given without steering, or steering without directions.
        DirectionError: A direction is of another model.
    """
    if not steer:
        if directions or compatibility:
            raise SteeringError("directions and compatibility are about what is steered; give steer, too")
        return Steering()
    known = load_directions(directions, compatibility=compatibility) if directions else _ready_made(name)
    steering = parse_steering(_text(steer), known)
    steering.check(Identity(adapter))
    return steering


def _ready_made(name: str) -> Mapping[str, Direction]:
    found = ready_made_directions(name)
    if not found:
        raise SteeringError(f"there are no ready-made directions for {name}; give directions, the file that holds them")
    return found


def _text(steer: str) -> str:
    """The steering line; one with commas cannot stand among a harness's arguments, and is read from a file.

    Raises:
        SteeringError: The file is too large, or no text.
    """
    if not steer.startswith("@"):
        return steer
    with open_regular(steer[1:], SteeringError, "steer=@FILE names a file with an attribute on each line") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise SteeringError(f"{steer[1:]}: too large; a file of steering has at most {MAX_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as cause:
        raise SteeringError(f"{steer[1:]}: byte {cause.start} is not UTF-8; save the file as UTF-8 text") from None
    return ";".join(line for line in text.splitlines() if line.strip())
