"""The formats of files of directions: one row each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmsteer.errors import DirectionError
from mmsteer.formats.arrays import (
    npz_bytes,
    pt_bytes,
    read_arrays_npy,
    read_arrays_npz,
    read_arrays_pt,
    read_arrays_safetensors,
    safetensors_bytes,
)
from mmsteer.formats.content import Content, Export
from mmsteer.formats.control_vector import control_vector_bytes, dialz_bytes, read_control_vector
from mmsteer.formats.svec import read_svec, svec_bytes


@dataclass(frozen=True)
class Format:
    """A kind of file that another library reads or writes.

    Attributes:
        ending: Of its names.
        of: Who reads or writes it.
        read: Its reader.
        write: Makes the bytes of a file; None where files are only read.
        use: How the file is used there, with FILE in the place of its name and C in that of the coefficient.
    """

    ending: str
    of: str
    read: Callable[[Path], Content]
    write: Callable[[Export], bytes] | None
    use: str


OWN = "mmsteer"
"""The format of mmsteer itself: safetensors with a header of its own (`mmsteer.direction_file`)."""

FORMATS: Mapping[str, Format] = {
    "gguf": Format(
        ".gguf",
        "repeng, llama.cpp, EasySteer",
        read_control_vector,
        control_vector_bytes,
        "llama-cli -m MODEL.gguf --control-vector-scaled FILE:C; or in repeng "
        "model.set_control(ControlVector.import_gguf('FILE'), C)",
    ),
    "dialz": Format(
        ".gguf", "dialz", read_control_vector, dialz_bytes, "model.set_control(SteeringVector.import_gguf('FILE'), C)"
    ),
    "svec": Format(
        ".svec",
        "AISteer360, steerability",
        read_svec,
        svec_bytes,
        "ActivationAdapter(transform=AdditiveTransform(SteeringVector.load('FILE'), strength=C), layer_ids=LAYERS, "
        "token_scope='all')",
    ),
    "pt": Format(
        ".pt",
        "steering-vectors, EasySteer, Revis",
        read_arrays_pt,
        pt_bytes,
        "SteeringVector(torch.load('FILE', weights_only=True), LAYER_TYPE).apply(model, multiplier=C)",
    ),
    "npz": Format(".npz", "NumPy", read_arrays_npz, npz_bytes, "numpy.load('FILE')[SITE] * C"),
    "npy": Format(".npy", "NumPy", read_arrays_npy, None, "numpy.load('FILE') * C"),
    "safetensors": Format(
        ".safetensors",
        "safetensors without a header",
        read_arrays_safetensors,
        safetensors_bytes,
        "safetensors.torch.load_file('FILE')[SITE] * C",
    ),
}

ENDINGS = {".pth": "pt", **{one.ending: name for name, one in reversed(list(FORMATS.items()))}}
"""The format of each ending: of several the first of the table."""


def format_of(path: Path, name: str | None = None) -> str:
    """The format of a file that is written.

    Args:
        path: The file; its ending decides, and `.safetensors` is mmsteer's own.
        name: The format; None to go by the ending.

    Raises:
        DirectionError: There is no such format, or the ending is another's.
    """
    if name is None:
        if path.suffix not in ENDINGS:
            raise DirectionError(f"{path}: no format ends so; choose from {', '.join(sorted(ENDINGS))}")
        found = ENDINGS[path.suffix]
        return OWN if found == "safetensors" else found
    if name not in (OWN, *FORMATS):
        raise DirectionError(f"no format {name!r}; choose from {', '.join((OWN, *FORMATS))}")
    if name != OWN and path.suffix != FORMATS[name].ending:
        raise DirectionError(f"{path}: a file of {name} ends in {FORMATS[name].ending}; name it so")
    return name
