"""The dictionaries of the bundled models, as they ship: one of a model, or one of each of several layers."""

import os
from functools import cache, lru_cache
from pathlib import Path

from mmsteer.errors import DictionaryError
from mmsteer.sae import SparseDictionary, Usage, read_dictionary
from mmsteer.sae.formats.usage_file import read_usage
from mmsteer.types import Site

BUNDLED = "bundled:"
"""What the name of a bundled dictionary begins with."""
FOLDER = Path(__file__).parent / "dictionaries"
ROWS = "held.jsonl"
"""Rows that no dictionary of a model learned from, beside its dictionaries."""
_CONFIG = "cfg.json"


def dictionary_path(name: str, site: Site | None = None) -> Path:
    """The folder of a bundled model's dictionary, in the layout of SAELens, with `usage.safetensors` beside it.

    Args:
        name: `music`, `vision` or `text`; or one of several layers, such as `text/text.14`.
        site: The layer, where several ship; None for the middle one. Where one ships, it is not asked.

    Raises:
        DictionaryError: No dictionary ships for such a model or layer.
    """
    if os.path.isfile(FOLDER / name / _CONFIG):
        return FOLDER / name
    layers = {Site.parse(file.parent.name): file.parent for file in (FOLDER / name).glob(f"*/{_CONFIG}")}
    if not layers:
        there = sorted({file.relative_to(FOLDER).parts[0] for file in FOLDER.rglob(_CONFIG)})
        raise DictionaryError(
            f"no dictionary ships for {name!r}; choose from {', '.join(there) or 'none'}, or train one with "
            f"`mmsteer sae train --model bundled:{name} --out FOLDER`"
        )
    sites = sorted(layers)
    chosen = sites[(len(sites) - 1) // 2] if site is None else site
    if chosen not in layers:
        raise DictionaryError(f"no dictionary of {name} ships for {chosen}; choose from {', '.join(map(str, sites))}")
    return layers[chosen]


def model_of(name: str) -> str:
    """The bundled model that a bundled dictionary belongs to.

    `name`: as `bundled:text` or `bundled:text/text.14`.
    """
    return name.partition("/")[0]


def rows_path(name: str) -> Path | None:
    """Rows that ship beside a bundled dictionary, to look its features up in; None where none do.

    `name`: the dictionary's name.
    """
    if not name.startswith(BUNDLED):
        return None
    file = FOLDER / model_of(name).removeprefix(BUNDLED) / ROWS
    return file if os.path.isfile(file) else None


@cache
def bundled_dictionary(name: str, site: Site | None = None) -> SparseDictionary:
    """A dictionary with thresholds, that knows its site and model.

    Args:
        name: As for `dictionary_path`.
        site: As for `dictionary_path`.
    """
    return read_dictionary(dictionary_path(name, site))


@cache
def bundled_usage(name: str, site: Site | None = None) -> Usage:
    """How the features of a bundled dictionary are used on what it was trained on.

    Args:
        name: As for `dictionary_path`.
        site: As for `dictionary_path`.
    """
    return read_usage(dictionary_path(name, site), bundled_dictionary(name, site).features)


def open_dictionary(name: str, site: Site | None = None) -> SparseDictionary:
    """A dictionary by name: a bundled one, or a folder in any layout that is read.

    `name`: `bundled:music`, `bundled:text`, `bundled:text/text.14`, or a folder.
    `site`: which of several bundled ones; None for the middle layer.
    """
    if name.startswith(BUNDLED):
        return bundled_dictionary(name.removeprefix(BUNDLED), site)
    folder = Path(name)
    files = [folder, *folder.iterdir()] if os.path.isdir(folder) else []
    return _read(name, tuple(_state(file.stat()) for file in files))


def _state(found: os.stat_result) -> tuple[int, ...]:
    """What changes with a file: the system alone sets the last of them, also where a copy keeps the time of writing."""
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=2)
def _read(folder: str, state: tuple[tuple[int, ...], ...]) -> SparseDictionary:
    """Large ones take long, and a recipe's checks, its run's id and its finding all ask for them."""
    return read_dictionary(folder)
