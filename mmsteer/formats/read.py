"""Files of directions of any origin: mmsteer's own, and those of other libraries."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from mmsteer import direction_file
from mmsteer.errors import DirectionError, clip
from mmsteer.formats.content import ByLayer, Content, InOrder
from mmsteer.formats.gguf_file import MAX_BYTES
from mmsteer.formats.hub_file import fetched, is_address
from mmsteer.formats.places import Places, vector_of
from mmsteer.formats.table import ENDINGS, FORMATS, OWN
from mmsteer.regular_file import open_regular
from mmsteer.tensor_files import readable
from mmsteer.types import UNKNOWN, Direction, Site, SiteStats

_USUAL = Places()


def load_directions(
    path: str | Path, *, compatibility: str | None = None, name: str | None = None, places: Places = _USUAL
) -> dict[str, Direction]:
    """Read the directions of one file by name. The file is data: nothing in it is executed.

    What another library adds at a coefficient of c is added here by `NAME c trained`, for its vectors' lengths are kept
    as those that were trained. Which model they are for is not in such files, so `dimension` is all that they promise.

    Args:
        path: A file that `save_directions` wrote, or of another library: `.gguf`, `.svec`, `.pt`, `.npz`, `.npy`, or
            safetensors of vectors by layer. `hf://user/repo/file`, or `hf://user/repo@revision/file`, is one on the
            Hugging Face Hub.
        compatibility: How alike a model must be to the one they were found in, to be steered by them: `exact`,
            `architecture` or `dimension`, see `Direction`; None for `exact`, and for `dimension` where that model is
            not known.
        name: What the direction of another library is called; None for the name that the file says, or has.
        places: What the layers of another library's file stand for.

    Raises:
        DirectionError: The file is missing, unsafe, damaged, or no file of directions.
    """
    path = fetched(path) if is_address(path) else Path(path)
    kind = kind_of(path)
    if kind != OWN:
        found = _directions(path, kind, read_content(path, kind), name, places)
        return {one.name: one for one in (_accepting(one, compatibility) for one in found)}
    if name is not None or places != _USUAL:
        raise DirectionError(f"{path} has mmsteer's own directions, with names and sites; leave out names and layers")
    return direction_file.load_directions(path, compatibility=compatibility)


def kind_of(path: Path) -> str:
    """The format of a file that is there: by its ending, and of safetensors by their header.

    Args:
        path: The file.

    Raises:
        DirectionError: It cannot be read.
    """
    kind = ENDINGS.get(path.suffix, OWN)
    return OWN if kind == "safetensors" and _has_header(path) else kind


def read_content(path: Path, kind: str) -> Content:
    """What a file of another library holds.

    Args:
        path: The file, of at most 1 GiB.
        kind: Its format.

    Raises:
        DirectionError: It is missing, unsafe, damaged, or of another format.
    """
    with open_regular(path, DirectionError, "name a file of directions") as file:
        size = file.seek(0, 2)
    if size > MAX_BYTES:
        raise DirectionError(f"{path} has {size} bytes; a file of directions has at most {MAX_BYTES}")
    return FORMATS[kind].read(path)


def _has_header(path: Path) -> bool:
    """Whether safetensors are mmsteer's; a file that is none of safetensors is left to its reader, which says so."""
    try:
        open_regular(path, DirectionError, "name a file of directions").close()
        with readable(path, DirectionError), safe_open(path, framework="pt") as file:
            return "mmsteer" in (file.metadata() or {})
    except DirectionError:
        return True


def _directions(path: Path, kind: str, content: Content, name: str | None, places: Places) -> list[Direction]:
    called = name or content.name or path.stem
    source = {**content.source, "format": kind, "file": path.name}
    if content.lost:
        source["lost"] = "; ".join(content.lost)
    return [
        _direction(path, f"{called}:{label}" if label else called, vectors, source, places)
        for label, vectors in content.vectors.items()
    ]


def _direction(
    path: Path, name: str, vectors: ByLayer | InOrder, source: Mapping[str, str], places: Places
) -> Direction:
    at = places.sites(path, vectors)
    found = {site: vector_of(path, site, tensor) for site, tensor in at.items()}
    _check_widths(path, found)
    # A vector of zeros adds nothing, which is what a site that is left out does.
    lengths = {site: float(vector.norm()) for site, vector in found.items() if vector.any()}
    if not lengths:
        raise DirectionError(f"{path}: all vectors of {clip(name)} are zero")
    units = {site: (found[site] / length).float() for site, length in sorted(lengths.items())}
    stats = {site: SiteStats(None, 0.0, 0.0, 0.0, None, lengths[site]) for site in units}
    try:
        return Direction(name, units, stats, UNKNOWN, source)
    except DirectionError as cause:
        raise DirectionError(f"{path}: {cause}") from None


def _check_widths(path: Path, vectors: Mapping[Site, Tensor]) -> None:
    widths: dict[tuple[str, str], int] = {}
    for site, vector in vectors.items():
        width = widths.setdefault((site.stack, site.point), len(vector))
        if width != len(vector):
            raise DirectionError(f"{path}: {len(vector)} numbers at {site}, and {width} elsewhere; the file is damaged")


def _accepting(direction: Direction, compatibility: str | None) -> Direction:
    return replace(direction, compatibility=compatibility or "dimension")
