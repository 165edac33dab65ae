"""Checkpoints of any origin through `from_pretrained`.

Their code is never run, pickled weights are never read, and whatever is wrong is one error that names the file.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from safetensors import SafetensorError, safe_open

from mmsteer.errors import MmsteerError, clip, shorten
from mmsteer.json_lines import read_json

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
"""What names of weights end with that are no safetensors."""

MOST_LAYERS = 1_000
"""Of a model; the deepest have some 130, and each costs milliseconds to make."""

_COUNTS = ("layer", "layers", "depth")
_CHOSEN = ("_implementation", "_implementation_internal")

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
"""What a name on the hub looks like: `owner/model`, or `model` alone."""

_BY_HAND = "where you trust it, load it with transformers yourself and give it to mmsteer.adapt"
# What transformers and the libraries below it raise on a damaged file.
_RAW = (
    *(OSError, ValueError, ImportError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError),
    *(AssertionError, EOFError, MemoryError, SafetensorError),
)


def load_pretrained(loader: Any, name: str | Path, error: type[MmsteerError], **options: Any) -> Any:
    """What `loader.from_pretrained(name)` gives, without ever running code of the checkpoint.

    Args:
        loader: A class of transformers with `from_pretrained`, for anything but weights.
        name: A folder, or a name on the hub.
        error: What is raised.
        options: For `from_pretrained`.

    Raises:
        MmsteerError: As `error`: the checkpoint asks to run code, is damaged, or is not there.
    """
    with Loading(name, error):
        _check_config(name, error)
        return loader.from_pretrained(name, trust_remote_code=False, **options)


def _check_config(name: str | Path, error: type[MmsteerError]) -> None:
    """Refuse what transformers would do for a configuration before it looks at the weights.

    Raises:
        MmsteerError: As `error`: it has layers without measure, which would be made one by one, or names code.
    """
    config = _config(name)
    for key, value in _entries(read_json(config, error) if config else None):
        if key.endswith(_COUNTS) and isinstance(value, int) and value > MOST_LAYERS:
            raise error(f"{config}: {key!r} is {shorten(str(value))}; a model has at most {MOST_LAYERS} layers")
        # Such as `attn_implementation`: a repository of programs on the hub, or one for each part of the model.
        program = next((one for one in _texts(value) if "/" in one), None) if key.endswith(_CHOSEN) else None
        if program:
            raise error(
                f"{config}: {clip(key)} names {clip(program)}, a program on the hub, which mmsteer never runs; remove "
                f"the entry, or {_BY_HAND}"
            )


def _config(name: str | Path) -> str | None:
    """The file of the configuration; of a name on the hub, as it is fetched from there."""
    here = os.path.join(name, "config.json")
    if os.path.isfile(here):
        return here
    if os.path.isdir(name) or not HUB_NAME.fullmatch(str(name)):
        return None
    from transformers.utils import cached_file

    return cached_file(name, "config.json")


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield str(key), part
        yield from _entries(part)


def _texts(value: Any) -> Iterator[str]:
    yield from (one for _, one in _entries([value]) if isinstance(one, str))


def load_weights(loader: Any, name: str | Path, error: type[MmsteerError], **options: Any) -> Any:
    """The model that `loader.from_pretrained(name)` gives, from safetensors alone, every weight read from them.

    Args:
        loader: A class of transformers with `from_pretrained`, for a model.
        name: A folder, or a name on the hub.
        error: What is raised.
        options: For `from_pretrained`.

    Raises:
        MmsteerError: As `error`: the checkpoint asks to run code, holds pickles, is damaged, is not whole, or is not
            there.
    """
    more = {"use_safetensors": True, "output_loading_info": True, **options}
    model, info = load_pretrained(loader, name, error, **more)
    missing = sorted(info["missing_keys"])
    if missing:
        raise error(
            f"{name}: the weights lack {shorten(', '.join(missing[:3]), 300)} ({len(missing)} in all), which would be "
            "random numbers; config.json and the weights do not belong together, so fetch both again"
        )
    return model


class Loading(AbstractContextManager[None]):
    """Turns what the libraries below raise into one error with the file at fault.

    A class and no generator, because tokenizers raises plain `Exception`, which is told from its subclasses here.
    """

    def __init__(self, name: str | Path, error: type[MmsteerError]) -> None:
        """Begin.

        Args:
            name: A folder, or a name on the hub.
            error: What is raised.
        """
        self._name, self._error = name, error

    def __exit__(
        self, kind: type[BaseException] | None, cause: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, with an error of our own in the place of another.

        Args:
            kind: Type of what was raised.
            cause: What was raised.
            trace: Where.

        Raises:
            MmsteerError: As the given type: something was raised that a damaged checkpoint brings about.
        """
        # Where one of these was raised, its library is there already; names of the hub are checked without it.
        from huggingface_hub.errors import StrictDataclassError
        from jinja2 import TemplateError

        raw = (*_RAW, StrictDataclassError, TemplateError)
        if kind is not None and (issubclass(kind, raw) or kind is Exception):
            assert cause is not None
            raise self._error(
                f"cannot load a model from {clip(str(self._name), 300)}: {self._reason(cause)}"
            ) from cause

    def _reason(self, cause: BaseException) -> str:
        if isinstance(cause, ValueError) and "trust_remote_code" in str(cause):
            return f"it asks to run code of its own (`auto_map`), which mmsteer never does; {_BY_HAND}"
        folder = Path(self._name)
        if not os.path.isdir(folder):
            return _absent(self._name, cause)
        found = next(filter(None, (fault(folder) for fault in _FAULTS)), None)
        if found:
            return found
        named = "tokenizer.json: " if type(cause) is Exception else ""
        return f"{named}{_first_line(cause)}; fetch the folder again"


def _absent(name: str | Path, cause: BaseException) -> str:
    """A folder that is not there is taken for a name on the hub, whose errors speak of that."""
    if isinstance(name, Path) or not HUB_NAME.fullmatch(name):
        return "there is no such folder"
    return f"there is no such folder; as a name on the Hugging Face hub: {_first_line(cause)}"


def _pickled(folder: Path) -> str | None:
    names = sorted(path.name for path in folder.iterdir())
    if any(name.endswith((".safetensors", ".safetensors.index.json")) for name in names):
        return None
    pickled = next((name for name in names if name.endswith(PICKLES)), None)
    if pickled is None:
        return "it has no weights: there is no *.safetensors; fetch the folder again"
    return (
        f"{pickled} is pickled weights, which can run any program and are never read; where you trust them, load them "
        "with transformers and write safetensors with save_pretrained"
    )


def _broken_json(folder: Path) -> str | None:
    for path in sorted(folder.glob("*.json")):
        broken = _complaint(lambda path=path: read_json(path))  # type: ignore[misc]
        if broken:
            return broken
    return None


def _partial_tokenizer(folder: Path) -> str | None:
    path = folder / "tokenizer.json"
    found = read_json(path) if path.is_file() else None
    if found is None or (isinstance(found, dict) and {"model", "added_tokens"} <= found.keys()):
        return None
    return f"{path} is no tokenizer: it has no model and added_tokens; fetch it again"


def _broken_weights(folder: Path) -> str | None:
    for path in sorted(folder.glob("*.safetensors")):
        if not path.is_file():
            return f"{path} is no regular file; fetch it again"
        broken = _complaint(lambda path=path: safe_open(path, framework="pt"))  # type: ignore[misc]
        if broken:
            return f"{path} is damaged ({broken}); fetch it again"
    return None


def _missing_weights(folder: Path) -> str | None:
    for path in sorted(folder.glob("*.safetensors.index.json")):
        index = read_json(path)
        files = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
            return f"{path} has no weight_map of names and files; fetch it again"
        gone = next((file for file in sorted(set(files.values())) if not (folder / file).is_file()), None)
        if gone:
            return f"{path} names {gone}, which is not there; fetch it again"
    return None


_FAULTS = (_broken_json, _partial_tokenizer, _pickled, _broken_weights, _missing_weights)


def _complaint(read: Callable[[], object]) -> str | None:
    try:
        read()
    except (MmsteerError, SafetensorError, OSError) as broken:
        return str(broken)
    return None


def _first_line(cause: BaseException) -> str:
    line = (str(cause).strip().splitlines() or [""])[0]
    return line if isinstance(cause, OSError | ValueError) and line else f"{type(cause).__name__}: {line}"
