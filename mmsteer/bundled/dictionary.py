"""The dictionaries of the bundled models, as they ship."""

from functools import cache, lru_cache
from pathlib import Path

from mmsteer.errors import DictionaryError
from mmsteer.sae import SparseDictionary, Usage, read_dictionary
from mmsteer.sae.formats.usage_file import read_usage

BUNDLED = "bundled:"
"""What the name of a bundled dictionary begins with."""
FOLDER = Path(__file__).parent / "dictionaries"


def dictionary_path(name: str) -> Path:
    """The folder of a bundled model's dictionary, in the layout of SAELens, with `usage.safetensors` beside it.

    Args:
        name: `music` or `vision`.

    Raises:
        DictionaryError: No dictionary ships for such a model.
    """
    there = sorted(folder.name for folder in FOLDER.glob("*/") if (folder / "cfg.json").is_file())
    if name not in there:
        raise DictionaryError(
            f"no dictionary ships for {name!r}; choose from {', '.join(there) or 'none'}, or train one with "
            f"`mmsteer sae train --model bundled:{name} --out FOLDER`"
        )
    return FOLDER / name


@cache
def bundled_dictionary(name: str) -> SparseDictionary:
    """A dictionary with thresholds, that knows its site and model.

    Args:
        name: `music` or `vision`.
    """
    return read_dictionary(dictionary_path(name))


@cache
def bundled_usage(name: str) -> Usage:
    """How the features of a bundled dictionary are used on what it was trained on.

    Args:
        name: `music` or `vision`.
    """
    return read_usage(dictionary_path(name), bundled_dictionary(name).features)


def open_dictionary(name: str) -> SparseDictionary:
    """A dictionary by name: a bundled one, or a folder in any layout that is read.

    Args:
        name: `bundled:music`, or a folder.
    """
    if name.startswith(BUNDLED):
        return bundled_dictionary(name.removeprefix(BUNDLED))
    folder = Path(name)
    files = [folder, *folder.iterdir()] if folder.is_dir() else []
    return _read(name, max((file.stat().st_mtime_ns for file in files), default=0))


@lru_cache(maxsize=2)
def _read(folder: str, changed: int) -> SparseDictionary:
    """Large ones take long, and a recipe's checks, its run's id and its finding all ask for them."""
    return read_dictionary(folder)
