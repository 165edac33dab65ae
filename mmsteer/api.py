"""The short way in: load a model, read a steering line, steer."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmsteer.adapters import AnyAdapter
from mmsteer.adapters import adapt as _adapt
from mmsteer.adapters import load as _load
from mmsteer.bundled import bundled_path
from mmsteer.bundled.dictionary import BUNDLED
from mmsteer.bundled.progress_bars import without_progress_bars
from mmsteer.errors import SteeringError
from mmsteer.formats import load_directions
from mmsteer.library import library
from mmsteer.steering import Session, Steering, parse_attribute
from mmsteer.steering import steer as _steer
from mmsteer.steering.names import lines
from mmsteer.types import Adapter, Direction


def load(name: str | Path, *, device: str = "cpu", dtype: str = "auto", quantise: str | None = None) -> AnyAdapter:
    """Load a model: a bundled one, a folder, or a name on the Hugging Face hub.

    Args:
        name: `bundled:music`, `bundled:vision`, `bundled:text`, `bundled:gemma3-270m`, a folder of `from_pretrained`,
            or a hub name; and `audiocraft:` before a folder or hub name, to run MusicGen with audiocraft.
        device: `cpu`, `cuda` or `auto`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        quantise: `4bit`, `8bit` or None.
    """
    text = str(name)
    if not text.startswith(BUNDLED):
        return _load(name, device=device, dtype=dtype, quantise=quantise)
    with without_progress_bars():
        return _load(bundled_path(text.removeprefix(BUNDLED)), device=device, dtype=dtype, quantise=quantise)


def adapt(model: Any, processor: Any = None) -> AnyAdapter:
    """Make a model that is already loaded readable and steerable.

    Args:
        model: The transformers model, or audiocraft's `MusicGen`.
        processor: Its processor; None for audiocraft's.
    """
    return _adapt(model, processor)


def bundled_directions(name: str) -> dict[str, Direction]:
    """The ready-made directions of a bundled model.

    Args:
        name: `music`.
    """
    found: dict[str, Direction] = {}
    for file in sorted((library("probes") / name).glob("*.safetensors")):
        found |= load_directions(file)
    return found


def ready_made_directions(model: str) -> dict[str, Direction]:
    """The ready-made directions of a model by its name; none of a model that is not bundled.

    Args:
        model: Such as `bundled:music`, a folder, or a name on the hub.
    """
    return bundled_directions(model.removeprefix(BUNDLED)) if model.startswith(BUNDLED) else {}


def steer(
    adapter: Adapter,
    steering: Steering | str | Sequence[Steering | str],
    directions: Mapping[str, Direction] | str | Path | None = None,
    *,
    compatibility: str | None = None,
) -> AbstractContextManager[Session]:
    """Steer a model inside a `with` block, in the user's own calls of `generate`.

    Args:
        adapter: The model, from `load` or `adapt`.
        steering: One steering for all samples or one for each; a text such as `note:C 0.1 fade-in 0..4s`, with `;`
            between several attributes, or a `Steering`.
        directions: What the texts name: directions, or the file that holds them.
        compatibility: How alike the model must be to the one that these directions were found in: `exact`,
            `architecture` or `dimension`, see `Direction`; None for what each direction says itself, `exact` if nothing
            was said.

    Raises:
        SteeringError: A text is given without directions.
    """
    known = load_directions(directions) if isinstance(directions, str | Path) else directions
    if isinstance(steering, Steering | str):
        return _steer(adapter, _accepting(_read(steering, known), compatibility))
    return _steer(adapter, [_accepting(_read(one, known), compatibility) for one in steering])


def _accepting(steering: Steering, compatibility: str | None) -> Steering:
    if compatibility is None:
        return steering
    return replace(steering, attributes=tuple(item.accepting(compatibility) for item in steering.attributes))


def parse_steering(text: str, directions: Mapping[str, Direction]) -> Steering:
    """Read attributes from a text, with `;` between them.

    Args:
        text: Such as `note:C 0.1 fade-out 0..4s; note:G 0.1 fade-in 0..4s`; empty for no steering.
        directions: The directions that it may name.
    """
    return Steering(tuple(parse_attribute(line, directions) for line in lines(text)))


def _read(steering: Steering | str, directions: Mapping[str, Direction] | None) -> Steering:
    if isinstance(steering, Steering):
        return steering
    if directions is None:
        raise SteeringError(f"{steering!r} names directions; pass them, or the file that holds them")
    return parse_steering(steering, directions)
