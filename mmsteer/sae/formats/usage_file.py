"""How a dictionary is used, on disk beside it: `usage.safetensors`."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from mmsteer.atomic import write_atomically
from mmsteer.errors import DictionaryError
from mmsteer.sae.formats.files import read_safetensors, take
from mmsteer.sae.usage import Usage
from mmsteer.types import NormSpread

USAGE = "usage.safetensors"

_VECTORS = ("mean", "spread", "maximum", "density")
_LAYOUT = dict.fromkeys(_VECTORS, 1) | {"norm": 0, "rows": 0}
_NORMS = "norms"
"""Low, high and number of the norms; files of earlier versions have none."""


def write_usage(folder: str | Path, used: Usage, *, overwrite: bool = False) -> None:
    """Write what `usage` counted beside its dictionary.

    Raises:
        DictionaryError: There is such a file, or it cannot be written.
    """
    path = Path(folder) / USAGE
    if os.path.exists(path) and not overwrite:
        raise DictionaryError(f"{path} exists; choose another folder, or pass overwrite=True")
    tensors = {name: getattr(used, name).cpu().contiguous() for name in _VECTORS}
    tensors["norm"] = torch.tensor(used.norm, dtype=torch.float32)
    # float64 holds every count of rows exactly.
    tensors["rows"] = torch.tensor(used.rows, dtype=torch.float64)
    if used.norms:
        tensors[_NORMS] = torch.tensor([used.norms.low, used.norms.high, used.norms.tokens], dtype=torch.float64)
    try:
        write_atomically(path, save(tensors))
    except OSError as cause:
        raise DictionaryError(f"{path} cannot be written: {cause.strerror}") from cause


def read_usage(folder: str | Path, features: int) -> Usage:
    """Read what `write_usage` wrote.

    Raises:
        DictionaryError: The file is missing or damaged, or counts another dictionary's features.
    """
    path = Path(folder) / USAGE
    found = read_safetensors(path)
    tensors = take(path, found, _LAYOUT | ({_NORMS: 1} if _NORMS in found else {}))
    vectors = {name: tensors[name].float() for name in _VECTORS}
    sizes = {len(vector) for vector in vectors.values()}
    if sizes != {features}:
        raise DictionaryError(f"{path} counts {sorted(sizes)} features, its dictionary has {features}; count again")
    return Usage(**vectors, norm=float(tensors["norm"]), rows=int(tensors["rows"]), norms=_spread(path, tensors))


def _spread(path: Path, tensors: Mapping[str, Tensor]) -> NormSpread | None:
    if _NORMS not in tensors:
        return None
    if len(tensors[_NORMS]) != 3:
        raise DictionaryError(f"{path}: {_NORMS!r} has {len(tensors[_NORMS])} numbers, not low, high and how many")
    low, high, tokens = tensors[_NORMS].tolist()
    return NormSpread(low, high, int(tokens))
