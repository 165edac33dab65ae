"""The small reference models: those that the project trains and ships, with their scripts, and a text model."""

from pathlib import Path

from mmsteer.bundled.dictionary import bundled_dictionary, bundled_usage, dictionary_path
from mmsteer.bundled.packaged import PACKAGED, packaged_path
from mmsteer.errors import AdapterError

BUNDLED = ("music", "band", "vision", "vision-unbiased", "vision-seed1", "vision-seed2")
"""Models whose weights are part of mmsteer."""
LLAVA = "llava"
"""The model whose language model is `text`, one of `PACKAGED`, whose weights are packages of their own."""


def bundled_path(name: str) -> Path:
    """The folder of a bundled model, in the layout of `from_pretrained`.

    Args:
        name: One of `BUNDLED`, or of `PACKAGED` or `llava`, which are put into the user's cache directory at first.

    Raises:
        AdapterError: There is no such model, or it is not part of this installation.
    """
    if name in PACKAGED:
        return packaged_path(name)
    if name == LLAVA:
        from mmsteer.bundled.llava import llava_path  # transformers is slow to import

        return llava_path()
    if name not in BUNDLED:
        raise AdapterError(f"no bundled model {name!r}; choose from {', '.join((*BUNDLED, *PACKAGED, LLAVA))}")
    folder = Path(__file__).parent / name
    if not (folder / "config.json").is_file():
        raise AdapterError(
            f"the bundled model {name!r} is not in {folder}; install mmsteer from a checkout of the project, which has "
            "all of them, or from its wheel, which leaves out band"
        )
    return folder


__all__ = ["BUNDLED", "LLAVA", "PACKAGED", "bundled_dictionary", "bundled_path", "bundled_usage", "dictionary_path"]
