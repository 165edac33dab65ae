"""The small reference models that the project trains and ships, their dictionaries, and the scripts that train both."""

from pathlib import Path

from mmsteer.bundled.dictionary import bundled_dictionary, bundled_usage, dictionary_path
from mmsteer.errors import AdapterError

BUNDLED = ("music", "vision", "vision-unbiased", "vision-seed1", "vision-seed2")


def bundled_path(name: str) -> Path:
    """The folder of a bundled model, in the layout of `from_pretrained`.

    Args:
        name: One of `BUNDLED`.

    Raises:
        AdapterError: There is no such model, or it is not part of this installation.
    """
    if name not in BUNDLED:
        raise AdapterError(f"no bundled model {name!r}; choose from {', '.join(BUNDLED)}")
    folder = Path(__file__).parent / name
    if not (folder / "config.json").is_file():
        raise AdapterError(
            f"the bundled model {name!r} is not in {folder}; install mmsteer from a complete wheel or checkout"
        )
    return folder


__all__ = ["BUNDLED", "bundled_dictionary", "bundled_path", "bundled_usage", "dictionary_path"]
