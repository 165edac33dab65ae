"""Workers that have a model, for what is shared out without a recipe."""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from mmsteer.adapters import AnyAdapter
from mmsteer.api import load
from mmsteer.bundled.progress_bars import without_progress_bars
from mmsteer.errors import WorkerError
from mmsteer.recipes.environment import run_id
from mmsteer.recipes.schema import Model
from mmsteer.types import Adapter
from mmsteer.workers import Held, Workers, opened


@contextmanager
def model_workers(text: str | None, adapter: Adapter, name: str | Path, **how: Any) -> Iterator[Workers | None]:
    """Workers that have the model of this process; None where none are asked for.

    Args:
        text: As `--workers` takes them; None for this process.
        adapter: The model.
        name: What `mmsteer.load` was given for it.
        how: The device, dtype and quantisation of workers' models.

    Yields:
        The workers.
    """
    if text is None:
        yield None
        return
    start = partial(held_model, str(name), how, os.getcwd(), run_id(adapter.run_identity))
    with opened(text, start) as made:
        yield made


def held_model(name: str, how: Mapping[str, Any], folder: str, wanted: str) -> Held:
    """What such a worker has, made in its own process.

    Args:
        name: Of the model.
        how: The device, dtype and quantisation.
        folder: The driver's working folder, where relative names are looked up.
        wanted: The driver's model and versions, as a hash.

    Raises:
        WorkerError: The folder is not there, or model or versions are others.
    """
    enter(folder)
    with without_progress_bars():
        adapter = load(name, **how)
    check_same(run_id(adapter.run_identity), wanted)
    return Held(adapter)


def load_named(model: Model, device: str | None) -> AnyAdapter:
    """The model that a recipe names.

    Args:
        model: What the recipe says of it.
        device: Where it lies for a process that leaves the work to others; None for where the recipe says. A quantised
            one lies there in any case.
    """
    where = model.device if device is None or model.quantise else device
    return load(model.load, device=where, dtype=model.dtype, quantise=model.quantise)


def enter(folder: str) -> None:
    """Make the driver's working folder this process's own.

    Args:
        folder: The folder.

    Raises:
        WorkerError: It is not there.
    """
    try:
        os.chdir(folder)
    except OSError as cause:
        raise WorkerError(
            f"{platform.node()} has no folder {folder} ({cause.strerror}); recipes, models and data must be there "
            "under the same names as for the process that shares out the work"
        ) from None


def check_same(found: str, wanted: str) -> None:
    """Refuse to work on what is not the driver's run.

    Args:
        found: What the work is here, as `run_id` has it.
        wanted: What it is for the driver.

    Raises:
        WorkerError: They differ.
    """
    if found != wanted:
        raise WorkerError(
            f"on {platform.node()} this is the run {found}, not {wanted}: mmsteer, its libraries, Python, the model or "
            "the data differ there; install the same versions"
        )
