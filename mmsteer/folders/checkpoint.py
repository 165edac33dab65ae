"""The state of a training in one file, which is as it was written or refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mmsteer.atomic import write_atomically
from mmsteer.errors import MmsteerError
from mmsteer.regular_file import open_regular
from mmsteer.types import content_digest

_KEY = "mmsteer training"
_MALFORMED = (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RuntimeError)


def save_checkpoint(path: Path, told: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a state with its digest, or leave the one before.

    Args:
        path: The file.
        told: What else belongs to it, as JSON holds it.
        tensors: The state.

    Raises:
        OSError: The file cannot be written.
    """
    held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = json.dumps({"told": dict(told), "digest": content_digest((told, held))})
    write_atomically(path, save(held, {_KEY: header}))


def load_checkpoint(path: Path, error: type[MmsteerError]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What was told of a state, and the state.

    Args:
        path: The file.
        error: What is raised.

    Raises:
        MmsteerError: As `error`: the file is not as it was written.
    """
    open_regular(path, error, "remove it and start again").close()
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()[_KEY])
            told, digest = dict(header["told"]), header["digest"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except _MALFORMED as cause:
        raise error(f"{path} is damaged or no checkpoint ({cause!r}); remove it and start again") from None
    if content_digest((told, tensors)) != digest:
        raise error(f"{path} is damaged or no checkpoint (it is not as it was written); remove it and start again")
    return told, tensors
