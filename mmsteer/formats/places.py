"""What the layers of other libraries stand for here, and sites there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError, DirectionError, SiteError, clip
from mmsteer.formats.content import ByLayer, Export, InOrder
from mmsteer.sae.hook_names import site_of_hook
from mmsteer.types import POINTS, Site

COUNTED = ("blocks", "hidden_states")
MOST_LAYERS = 10_000

_NUMBER = re.compile(r"\d{1,5}")
_NUMBERED = re.compile(r"(?:.*[._])?(?:layer|block|direction|vector)s?[._-]?(\d{1,5})")
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_HELP = "write numbers such as 10,11 or 10-12, or sites such as text.10.mlp"


@dataclass(frozen=True)
class Places:
    """How the layers of a file are read.

    Attributes:
        stack: The stack that its numbers count layers of.
        layers: Of a file that does not name its layers, which they are: `10-12`, `10,11` or sites.
        counted: What its numbers count: `blocks`, where N is the output of block N; or `hidden_states`, as
            transformers returns them, where 0 are the embeddings and N is the output of block N - 1.
        point: The point of the numbered layers.
    """

    stack: str = "text"
    layers: str | None = None
    counted: str = "blocks"
    point: str = "block"

    def __post_init__(self) -> None:
        if self.counted not in COUNTED:
            raise DirectionError(f"layers counted as {self.counted!r}; choose from {', '.join(COUNTED)}")
        if self.point not in POINTS or self.point == "head":
            points = ", ".join(point for point in POINTS if point != "head")
            raise DirectionError(f"no point {self.point!r} of a layer; choose from {points}")
        if self.counted == "hidden_states" and self.point != "block":
            raise DirectionError("hidden_states are outputs of blocks; leave out the point")

    def sites(self, path: Path, vectors: ByLayer | InOrder) -> dict[Site, Tensor]:
        """The vectors by site.

        Args:
            path: The file, for the error.
            vectors: As the file has them.

        Raises:
            DirectionError: The file names its layers and layers are given too, or neither; a name stands for no site,
                or two for the same.
        """
        by_layer = self._by_layer(path, vectors)
        found = {self._site(path, name): vector for name, vector in by_layer.items()}
        if len(found) != len(by_layer):
            raise DirectionError(f"{path}: two of its names, {clip(list(by_layer))}, stand for one site")
        return found

    def _by_layer(self, path: Path, vectors: ByLayer | InOrder) -> ByLayer:
        if not isinstance(vectors, Mapping):
            return dict(zip(self._given(path, len(vectors)), vectors, strict=True))
        if self.layers is not None:
            raise DirectionError(f"{path} names its layers itself; leave out the layers")
        return vectors

    def _given(self, path: Path, rows: int) -> list[int | str]:
        if self.layers is None:
            raise DirectionError(
                f"{path} holds {rows} vectors and no names of layers; say which they are with layers='...' ({_HELP})"
            )
        names = [name for term in self.layers.split(",") for name in _expanded(term.strip())]
        if len(names) != rows:
            raise DirectionError(f"{path} holds {rows} vectors, {len(names)} layers are given; {_HELP}")
        return names

    def _site(self, path: Path, name: int | str) -> Site:
        layer = int(name) if isinstance(name, int) or _NUMBER.fullmatch(name) else None
        match = _NUMBERED.fullmatch(name) if isinstance(name, str) else None
        if layer is None and match:
            layer = int(match[1])
        if layer is None:
            return _named(path, str(name), self.stack)
        if not 0 <= layer <= MOST_LAYERS:
            raise DirectionError(f"{path}: layer {clip(layer)}; no model has more than {MOST_LAYERS}")
        if self.counted == "blocks":
            return Site(self.stack, layer, self.point)
        return Site(self.stack, layer - 1) if layer else Site(self.stack, 0, "embedding")


def numbered_blocks(export: Export, what: str) -> dict[int, Tensor]:
    """The vectors by number of block, for files that have no other places.

    Args:
        export: The vectors.
        what: The file, for the error.

    Raises:
        DirectionError: A vector is at another point, or they are in several stacks.
    """
    return numbered(export, what, ("block",))


def numbered(export: Export, what: str, points: tuple[str, ...]) -> dict[int, Tensor]:
    """The vectors by number of layer, all of one stack and one point.

    Args:
        export: The vectors.
        what: The file, for the error.
        points: Points that it can be of.

    Raises:
        DirectionError: They are elsewhere, or not all at the same point of one stack.
    """
    strange = next((site for site in export.vectors if site.point not in points), None)
    if strange:
        raise DirectionError(
            f"{strange} is {POINTS[strange.point]}; {what} only has places at: {', '.join(points)}. Choose other "
            "sites with --steer 'NAME STRENGTH on SITES', or write .npz, which names its sites"
        )
    kinds = sorted({f"{site.stack}.*.{site.point}" for site in export.vectors})
    if len(kinds) > 1:
        raise DirectionError(f"{what} numbers the layers of one stack at one point, and these are {', '.join(kinds)}")
    return {site.layer: export.vectors[site] for site in sorted(export.vectors)}


def vector_of(path: Path, site: Site, tensor: Tensor) -> Tensor:
    """One vector, (width,) float64; a leading dimension of one is taken off.

    Args:
        path: The file, for the error.
        site: Where it is added.
        tensor: What the file holds.

    Raises:
        DirectionError: It is no vector, or not finite.
    """
    flat = tensor.squeeze(0) if tensor.ndim == 2 and tensor.shape[0] == 1 else tensor
    if flat.ndim != 1 or not flat.numel() or not flat.is_floating_point():
        raise DirectionError(
            f"{path}: at {site} is {tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}; one vector of "
            "floating point a layer can be read (several a layer are positions, heads or planes)"
        )
    if not torch.isfinite(flat).all():
        raise DirectionError(f"{path}: the vector at {site} has numbers that are not finite; the file is damaged")
    return flat.double()


def _named(path: Path, name: str, stack: str) -> Site:
    try:
        return site_of_hook(name, stack)
    except DictionaryError:
        pass
    try:
        return Site.parse(name)
    except SiteError:
        raise DirectionError(
            f"{path}: the name {clip(name)} is no layer; read are numbers, layer_10, direction.10, "
            "model.layers.10, blocks.10.hook_resid_post, and sites such as text.10.mlp"
        ) from None


def _expanded(term: str) -> list[int | str]:
    match = _RANGE.fullmatch(term)
    if not match:
        return [term]
    first, last = int(match[1]), int(match[2] or match[1])
    return list(range(first, last + 1))
