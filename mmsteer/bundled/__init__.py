"""The small reference models: those that the project trains and ships, with their scripts, and a text model."""

from pathlib import Path

from mmsteer.bundled.dictionary import bundled_dictionary, bundled_usage, dictionary_path
from mmsteer.bundled.text import text_path
from mmsteer.errors import AdapterError

BUNDLED = ("music", "band", "vision", "vision-unbiased", "vision-seed1", "vision-seed2")
"""Models whose weights are part of mmsteer."""
TEXT = "text"
"""The model whose weights are a package of their own."""
LLAVA = "llava"
"""The model whose language model is `text`."""


def bundled_path(name: str) -> Path:
    """The folder of a bundled model, in the layout of `from_pretrained`.

    Args:
        name: One of `BUNDLED`, or `text` or `llava`, which are put into the user's cache directory at first.

    Raises:
        AdapterError: There is no such model, or it is not part of this installation.
    """
    if name == TEXT:
        return text_path()
    if name == LLAVA:
        from mmsteer.bundled.llava import llava_path  # transformers is slow to import

        return llava_path()
    if name not in BUNDLED:
        raise AdapterError(f"no bundled model {name!r}; choose from {', '.join((*BUNDLED, TEXT, LLAVA))}")
    folder = Path(__file__).parent / name
    if not (folder / "config.json").is_file():
        raise AdapterError(
            f"the bundled model {name!r} is not in {folder}; install mmsteer from a checkout of the project, which has "
            "all of them, or from its wheel, which leaves out band"
        )
    return folder


__all__ = ["BUNDLED", "LLAVA", "TEXT", "bundled_dictionary", "bundled_path", "bundled_usage", "dictionary_path"]
