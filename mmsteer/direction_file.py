"""Directions on disk: one safetensors file with a JSON header. Nothing is ever unpickled."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mmsteer.atomic import write_atomically
from mmsteer.errors import DirectionError, SiteError
from mmsteer.types import UNKNOWN, Direction, Feature, LowRank, NormSpread, Site, SiteStats, Sketch

FORMAT = "mmsteer directions"
EDITS = "mmsteer edits"
"""Of a file that holds a low-rank edit: who reads vectors alone is told that it is another kind of file."""
VERSION = 1
PARTS = ("read", "bias", "write")
MAX_BYTES = 2**30
MAX_HEADER = 2**24
_AGAIN = "save it again with save_directions, or fetch it again"

_Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Norms(_Strict):
    low: float
    high: float
    tokens: int


class _Stats(_Strict):
    score: float | None
    mean: float
    spread: float
    residual_norm: float
    # Files of earlier versions have none: their norm is a mean over all tokens.
    norms: _Norms | None = None
    length: float | None = None


class _Feature(_Strict):
    bias: float
    threshold: float


class _Model(_Strict):
    architecture: str
    sketch: str


class _Entry(_Strict):
    model: str
    provenance: dict[str, str]
    stats: dict[_Name, _Stats]
    features: dict[_Name, _Feature] = {}
    # Sites of a low-rank edit.
    edits: list[_Name] = []


class _Header(_Strict):
    format: Literal["mmsteer directions", "mmsteer edits"]
    version: Literal[1]
    directions: dict[_Name, _Entry]
    models: dict[_Name, _Model] = {}


class _Label(BaseModel):
    """What a header of any version says about itself."""

    model_config = ConfigDict(strict=True)
    format: str
    version: int


def save_directions(path: str | Path, directions: Iterable[Direction], *, overwrite: bool = False) -> None:
    """Write directions to one file, all or nothing.

    Args:
        path: The file, by convention `.safetensors`.
        directions: The directions, each with a name of its own.
        overwrite: Replace a file that is there.

    Raises:
        DirectionError: The file exists, cannot be written, or a direction's numbers are not finite.
    """
    path, directions = Path(path), list(directions)
    if os.path.exists(path) and not overwrite:
        raise DirectionError(f"{path} exists; choose another name, or pass overwrite=True to replace it")
    if len({direction.name for direction in directions}) != len(directions) or not directions:
        names = [direction.name for direction in directions]
        raise DirectionError(f"{path}: a file holds one direction or more, each of its own name, not {names}")
    tensors = {key: tensor.detach().cpu().clone() for one in directions for key, tensor in _tensors(one).items()}
    header = _header(path, directions)
    metadata = {"mmsteer": header, "sha256": _digest(header, tensors)}
    try:
        write_atomically(path, _ordered(save(tensors, metadata)))
    except OSError as cause:
        raise DirectionError(f"{path} cannot be written: {cause.strerror}") from cause


def load_directions(path: str | Path, *, compatibility: str | None = None) -> dict[str, Direction]:
    """Read the directions of one file by name. The file is data: nothing in it is executed.

    Args:
        path: A file that `save_directions` wrote.
        compatibility: How alike a model must be to the one they were found in, to be steered by them: `exact`,
            `architecture` or `dimension`, see `Direction`; None for `exact`, and for `dimension` where that model is
            not known.

    Raises:
        DirectionError: The file is missing, unsafe, damaged, or no file of directions.
    """
    path = Path(path)
    _check_file(path)
    with _readable(path), safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        header = _parse_header(path, metadata.get("mmsteer"))
        tensors = _read_tensors(path, file, header)
    if metadata.get("sha256") != _digest(metadata["mmsteer"], tensors):
        raise DirectionError(f"{path} is damaged: its checksum does not fit its content; {_AGAIN}")
    sketches = {name: _sketch(path, name, model) for name, model in header.models.items()}
    found = {name: _direction(path, name, entry, tensors) for name, entry in header.directions.items()}
    return {
        name: replace(one, sketch=sketches.get(one.model), compatibility=compatibility or _usual(one))
        for name, one in found.items()
    }


def _usual(direction: Direction) -> str:
    return "dimension" if direction.model == UNKNOWN else "exact"


def _ordered(data: bytes) -> bytes:
    """A safetensors file with its header in order: safetensors writes metadata in another order each time."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors begin at a multiple of 8
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def _key(name: str, site: Site | str) -> str:
    return f"{name}|{site}"


def _encoder_key(name: str, site: Site | str) -> str:
    return f"{_key(name, site)}|encoder"


def _tensors(direction: Direction) -> dict[str, Tensor]:
    vectors = {_key(direction.name, site): vector for site, vector in direction.vectors.items()}
    encoders = {_encoder_key(direction.name, site): feature.encoder for site, feature in direction.features.items()}
    edits = {key: part for site, edit in direction.edits.items() for key, part in _parts(direction.name, site, edit)}
    return vectors | encoders | edits


def _edit_key(name: str, site: Site | str, part: str) -> str:
    return f"{_key(name, site)}|{part}"


def _parts(name: str, site: Site | str, edit: LowRank) -> Iterator[tuple[str, Tensor]]:
    for part in PARTS:
        yield _edit_key(name, site, part), getattr(edit, part)


def _header(path: Path, directions: list[Direction]) -> str:
    entries = {
        d.name: {
            "model": d.model,
            "provenance": dict(d.provenance),
            "stats": {str(site): asdict(d.stats[site]) for site in d.sites},
            "features": {str(at): {"bias": one.bias, "threshold": one.threshold} for at, one in d.features.items()},
            "edits": list(map(str, d.edits)),
        }
        for d in directions
    }
    models = {d.model: d.sketch.written() for d in directions if d.sketch}
    try:
        kind = EDITS if any(one.edits for one in directions) else FORMAT
        header = _Header.model_validate({"format": kind, "version": VERSION, "directions": entries, "models": models})
    except ValidationError as cause:
        raise DirectionError(f"{path} is not written: {_first(cause)}") from None
    # Nothing is said of edits where there are none: such a file is as it ever was.
    return header.model_dump_json(exclude={"directions": {one.name: {"edits"} for one in directions if not one.edits}})


def _digest(header: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(header.encode())
    for key in sorted(tensors):
        digest.update(key.encode() + b"\0" + tensors[key].numpy().tobytes())
    return digest.hexdigest()


def _check_file(path: Path) -> None:
    if not os.path.isfile(path):
        problem = "is a folder, not a file" if os.path.isdir(path) else "does not exist, or is no file"
        raise DirectionError(f"{path} {problem}; name a file of directions, as `mmsteer probe` writes them")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as cause:
        raise DirectionError(f"{path} cannot be read: {cause.strerror}") from cause
    if not size:
        raise DirectionError(f"{path} is empty; {_AGAIN}")
    if size > MAX_BYTES:
        raise DirectionError(f"{path} has {size} bytes; a file of directions has at most {MAX_BYTES}")
    _check_magic(path, start)


def _check_magic(path: Path, start: bytes) -> None:
    # A safetensors file whose header has 640 bytes begins like a pickle (80 02), but goes on with zeros and a brace.
    if start[2:] == b"\0\0\0\0\0\0{":
        return
    pickled = start[:1] == b"\x80" and start[1:2] <= b"\x05"
    if pickled or start.startswith(b"PK\x03\x04"):
        kind = "a pickle" if pickled else "a zip archive, as torch.save writes it: a pickle"
        raise DirectionError(
            f"{path} is {kind}; mmsteer never unpickles, because a pickle can run any program. Fit the direction "
            "again, or convert it where you trust it, and save it with save_directions"
        )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except SafetensorError as cause:
        raise DirectionError(f"{path} is damaged or no safetensors file ({cause}); {_AGAIN}") from None
    except OSError as cause:
        raise DirectionError(f"{path} cannot be read: {cause}") from cause


def _parse_header(path: Path, text: str | None) -> _Header:
    if text is None:
        raise DirectionError(
            f"{path} is a safetensors file, but not one of mmsteer's directions: it has no 'mmsteer' header"
        )
    if len(text) > MAX_HEADER:
        raise DirectionError(f"{path}: the header has {len(text)} characters; at most {MAX_HEADER} are read")
    try:
        label = _Label.model_validate_json(text)
        if label.format not in (FORMAT, EDITS) or label.version != VERSION:
            raise DirectionError(
                f"{path} has format {label.format[:50]!r} version {label.version}; this mmsteer reads {FORMAT!r} "
                f"version {VERSION}, so use the mmsteer that wrote it, or fit the directions again"
            )
        return _Header.model_validate_json(text)
    except ValidationError as cause:
        raise DirectionError(f"{path}: the header is not as expected: {_first(cause)}; {_AGAIN}") from None


def _first(cause: ValidationError) -> str:
    problem = cause.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part)[:80] for part in problem['loc'])}: {problem['msg'][:200]}".removeprefix(": ")


def _read_tensors(path: Path, file: Any, header: _Header) -> dict[str, Tensor]:
    wanted = {_key(name, site) for name, entry in header.directions.items() for site in entry.stats}
    wanted |= {_encoder_key(name, site) for name, entry in header.directions.items() for site in entry.features}
    entries = header.directions.items()
    wanted |= {_edit_key(name, site, part) for name, entry in entries for site in entry.edits for part in PARTS}
    unpaired = sorted(wanted ^ set(file.keys()))
    if unpaired:
        raise DirectionError(
            f"{path}: {unpaired[0][:100]!r} is not both in the header and among the vectors "
            f"({len(unpaired)} such); {_AGAIN}"
        )
    for key in sorted(wanted):
        part = file.get_slice(key)
        if part.get_dtype() != "F32" or len(part.get_shape()) not in (1, 2):
            found = f"{part.get_dtype()} {part.get_shape()}"
            raise DirectionError(f"{path}: {key!r} is {found}; a direction is (width,) or (tokens, width) F32")
    # Cloned: the file may be replaced while its pages are mapped.
    return {key: file.get_tensor(key).clone() for key in wanted}


def _direction(path: Path, name: str, entry: _Entry, tensors: Mapping[str, Tensor]) -> Direction:
    sites = {text: _site(path, text) for text in entry.stats}
    vectors = {site: tensors[_key(name, text)] for text, site in sites.items()}
    stats = {sites[text]: _site_stats(numbers) for text, numbers in entry.stats.items()}
    encoders = {text: tensors[_encoder_key(name, text)] for text in entry.features}
    try:
        features = {
            _site(path, text): Feature(encoders[text], one.bias, one.threshold) for text, one in entry.features.items()
        }
        edits = {_site(path, text): _edit(name, text, tensors) for text in entry.edits}
        return Direction(name, vectors, stats, entry.model, entry.provenance, features, edits=edits)
    except DirectionError as cause:
        raise DirectionError(f"{path}: {cause}") from None


def _edit(name: str, site: str, tensors: Mapping[str, Tensor]) -> LowRank:
    return LowRank(*(tensors[_edit_key(name, site, part)] for part in PARTS))


def _sketch(path: Path, name: str, model: _Model) -> Sketch | None:
    try:
        return Sketch.read(model.model_dump())
    except ValueError as cause:
        raise DirectionError(f"{path}: the sketch of model {name!r} is not as expected: {cause}; {_AGAIN}") from None


def _site_stats(numbers: _Stats) -> SiteStats:
    norms = NormSpread(**numbers.norms.model_dump()) if numbers.norms else None
    return SiteStats(numbers.score, numbers.mean, numbers.spread, numbers.residual_norm, norms, numbers.length)


def _site(path: Path, text: str) -> Site:
    try:
        site = Site.parse(text)
    except SiteError as cause:
        raise DirectionError(f"{path}: {cause}") from None
    if str(site) != text:
        raise DirectionError(f"{path}: site {text!r} is written {str(site)!r}")
    return site
