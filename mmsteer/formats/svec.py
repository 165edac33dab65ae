"""`.svec`: JSON of AISteer360, now called steerability, and what its `SteeringVector.load` reads.

`directions[N]` is added to the output of block N, counted from 0 (its CAA and ActivationAdapter hook `layers[N]` with
`hook_point="layer_output"`); a row for each of K tokens, planes or heads, one where K is 1.

Source: aisteer360 0.3.0 and steerability 0.5, `algorithms/state_control/common/steering_vector.py`.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmsteer.errors import DirectionError, clip
from mmsteer.formats.content import Content, Export
from mmsteer.formats.places import numbered_blocks
from mmsteer.json_lines import read_json
from mmsteer.tensor_files import readable

_LOST = ("explained_variances", "probe_accuracies")


def read_svec(path: Path) -> Content:
    """Read a file of one vector a layer.

    Args:
        path: The file.

    Raises:
        DirectionError: It is no such JSON, or its vectors are of attention heads.
    """
    values = read_json(path, DirectionError)
    found = values.get("directions") if isinstance(values, dict) else None
    if not isinstance(found, dict) or not found:
        raise DirectionError(f"{path} holds no directions by layer; a .svec has them under the key 'directions'")
    if values.get("num_heads") is not None:
        raise DirectionError(
            f"{path} is for {clip(values['num_heads'])} attention heads, whose strengths are fitted there; fit heads "
            "here with mmsteer.record(adapter, samples, 'text.*.head.*')"
        )
    vectors = {layer: _tensor(path, layer, rows) for layer, rows in found.items()}
    lost = tuple(name for name in _LOST if values.get(name) is not None)
    return Content({"": vectors}, None, _source(values), lost)


def svec_bytes(export: Export) -> bytes:
    """A file that `SteeringVector.load` reads.

    Args:
        export: Vectors at blocks.

    Raises:
        DirectionError: A vector is at another place.
    """
    blocks = numbered_blocks(export, "a .svec")
    directions = {str(block): [vector.tolist()] for block, vector in blocks.items()}
    return json.dumps({"model_type": export.hint, "directions": directions}).encode()


def _tensor(path: Path, layer: str, rows: Any) -> Tensor:
    if not layer.isdecimal() or not isinstance(rows, list):
        raise DirectionError(f"{path}: directions[{clip(layer)}] is no list of numbers at the number of a layer")
    with readable(path, DirectionError):
        return torch.tensor(rows, dtype=torch.float64)


def _source(values: dict[str, Any]) -> dict[str, str]:
    hint, meta = values.get("model_type"), values.get("meta")
    texts = {str(key): value for key, value in meta.items() if isinstance(value, str)} if isinstance(meta, dict) else {}
    return texts | ({"model_hint": hint} if isinstance(hint, str) else {})
