"""Directions folded into weights: what `project_out` removes at every step is never written in the first place."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mmsteer.errors import AdapterError, DirectionError, SiteError, SteeringError
from mmsteer.types import POINTS, WRITTEN, Adapter, Direction, Site, select_sites

SAME = 1e-4
"""The least singular value at which unit vectors still count as different directions."""


class Writable(Adapter, Protocol):
    """A model that knows which weight writes a hidden state.

    Attributes:
        processor: Its processor.
    """

    processor: Any

    def writer(self, site: Site) -> nn.Linear:
        """The linear map whose output is the hidden state at a site."""


@dataclass(frozen=True)
class Fold:
    """What was folded at one site.

    Attributes:
        site: The site.
        directions: Names of what its weight no longer writes.
        rank: How many dimensions that are.
        change: Norm of the change of the weight, as a fraction of the weight's norm.
    """

    site: Site
    directions: tuple[str, ...]
    rank: int
    change: float

    def __str__(self) -> str:
        return f"{self.site}: {', '.join(self.directions)} (rank {self.rank}, weight changed by {self.change:.2%})"


def fold(
    adapter: Writable, directions: Sequence[Direction], sites: str | None = None, strength: float = 1.0
) -> tuple[Fold, ...]:
    """Take directions out of the weights that write them: W becomes (I - strength V Vᵀ) W, the bias likewise.

    V is an orthonormal basis of the directions that meet at a site. The model is changed in place, and its fingerprint
    with it: it answers as the old one would under `by project_out` at the same sites, at no cost. Directions that are
    not orthogonal are removed with all that they span, where edits one after the other leave a rest of the first.

    Args:
        adapter: The model.
        directions: What to take out, found in this model.
        sites: Which of their sites, such as `text.16-31.mlp`; None for all of them.
        strength: The share to remove; 1 removes it all.

    Raises:
        DirectionError: A direction belongs to another model, has a vector for each token, or is a low-rank edit.
        SiteError: A site is one whose state no single weight writes, such as a whole block, or is none of the
            directions'.
        AdapterError: A weight is quantised or not loaded.
        SteeringError: The strength is no share.

    Source: Nullu, Yang et al. 2025, arXiv:2412.13817, for `mlp` sites of the later layers.
    """
    planned = plan(adapter, directions, sites, strength)
    # Every refusal comes before the first change.
    writers = {site: writer(adapter, site) for site in planned}
    bases = {site: basis(site, some) for site, some in planned.items()}
    return tuple(
        Fold(site, tuple(one.name for one in some), bases[site].shape[1], _remove(writers[site], bases[site], strength))
        for site, some in planned.items()
    )


def save_folded(adapter: Writable, folder: str | Path, folds: Sequence[Fold], base: str) -> None:
    """Save a folded model as an ordinary checkpoint, with its processor and a card that says what was folded.

    Args:
        adapter: The folded model.
        folder: A folder that does not exist yet; it is whole, or not there.
        folds: What `fold` returned.
        base: Name of the model that was folded.

    Raises:
        AdapterError: The folder exists, or cannot be written, or the model is none of transformers.
    """
    path = Path(folder)
    check_folder(path)
    if adapter.processor is None:
        raise AdapterError(
            f"{base}: only a model of transformers is saved as from_pretrained reads it; fold that of the same weights"
        )

    def write(draft: Path) -> None:
        adapter.model.save_pretrained(draft)
        adapter.processor.save_pretrained(draft)
        (draft / "README.md").write_text(_card(folds, base))

    write_folder(path, write)


def write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Write a folder that is whole, or not there.

    Args:
        path: The folder.
        write: Makes a folder at the path that it is given.

    Raises:
        AdapterError: It exists, or cannot be written.
    """
    check_folder(path)
    try:
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as place:
            draft = Path(place) / path.name
            write(draft)
            draft.rename(path)
    except OSError as cause:
        raise AdapterError(f"{path} cannot be written: {cause.strerror or cause}") from cause


def check_folder(path: Path) -> None:
    """Refuse a folder that a checkpoint cannot be saved to.

    Args:
        path: The folder.

    Raises:
        AdapterError: It exists, or its parent does not.
    """
    if os.path.exists(path):
        raise AdapterError(f"{path} exists and is not overwritten; give another name")
    if not os.path.isdir(path.parent):
        raise AdapterError(f"there is no folder {path.parent}; make it first")


def plan(
    adapter: Writable, directions: Sequence[Direction], sites: str | None, strength: float
) -> Mapping[Site, tuple[Direction, ...]]:
    """The directions that meet at each site, in the order of the layers.

    Args:
        adapter: The model.
        directions: What to take out.
        sites: Which of their sites; None for all of them.
        strength: The share to remove.

    Raises:
        DirectionError: A direction belongs to another model.
        SiteError: There are none, or no single weight writes a site.
        SteeringError: The strength is no share.
    """
    if not 0 < strength <= 1:
        raise SteeringError(f"the strength {strength:g} is the share that is removed: above 0 and at most 1")
    for direction in directions:
        direction.check_model(adapter)
    have = [site for site in adapter.widths if any(site in direction.vectors for direction in directions)]
    chosen = select_sites(sites, have) if sites else tuple(have)
    if not chosen:
        raise SiteError("no directions were given, so there is nothing to fold")
    unwritten = [site for site in chosen if site.point not in WRITTEN]
    if unwritten:
        _refuse(adapter, unwritten[0])
    return {site: tuple(one for one in directions if site in one.vectors) for site in chosen}


def _refuse(adapter: Writable, site: Site) -> None:
    beside = [one for one in adapter.widths if (one.stack, one.layer) == (site.stack, site.layer)]
    parts = " and ".join(str(one) for one in beside if one.point in WRITTEN)
    raise SiteError(
        f"{site} is {POINTS[site.point]}, and no single weight writes that; find the direction at "
        f"{parts or 'an mlp or attention site'}, which one weight writes, or choose such sites among those that it has"
    )


def writer(adapter: Writable, site: Site) -> nn.Linear:
    """The linear map that writes a site, whose weight can be changed.

    Args:
        adapter: The model.
        site: A site of an attention or an MLP.

    Raises:
        AdapterError: There is none, or its weight is quantised or not loaded.
    """
    layer = adapter.writer(site)
    if layer.weight.is_meta or not layer.weight.is_floating_point():
        state = "not in memory" if layer.weight.is_meta else f"quantised ({layer.weight.dtype})"
        raise AdapterError(
            f"the weight that writes {site} is {state}; load the model whole, in float32, bfloat16 or float16"
        )
    return layer


def basis(site: Site, directions: Sequence[Direction]) -> Tensor:
    """Orthonormal columns that span the directions at a site, (width, rank) float64.

    Args:
        site: The site.
        directions: Found there.

    Raises:
        DirectionError: A direction has a vector for each token, or is a low-rank edit.
    """
    edits = [one.name for one in directions if one.edits]
    if edits:
        raise DirectionError(f"direction {edits[0]!r} is a low-rank edit, which no weight leaves out; steer with it")
    by_token = [one.name for one in directions if one.vectors[site].ndim > 1]
    if by_token:
        raise DirectionError(
            f"direction {by_token[0]!r} has a vector for each token at {site}; a weight writes all tokens alike, so "
            "find the direction again with the tokens pooled"
        )
    vectors = torch.stack([one.vectors[site].double() for one in directions], dim=1)
    left, sizes, _ = torch.linalg.svd(vectors, full_matrices=False)
    return left[:, sizes > SAME]


def _remove(layer: nn.Linear, columns: Tensor, strength: float) -> float:
    """Fold one weight; by what fraction of its norm it changed."""
    with torch.no_grad():
        before = layer.weight.double()
        columns = columns.to(before.device)
        change = strength * columns @ (columns.T @ before)
        layer.weight.copy_(before - change)
        if layer.bias is not None:
            bias = layer.bias.double()
            layer.bias.copy_(bias - strength * columns @ (columns.T @ bias))
    return float(change.norm() / before.norm())


_CARD = """---
base_model: {base}
---
# {base}, folded

A copy of {base} in which these directions were taken out of the weights that wrote them, by mmsteer. Load it as any
checkpoint; nothing of mmsteer is needed to run it. The licence of the base model holds.

| site | directions | rank | change of the weight |
|---|---|---|---|
{rows}
"""


def _card(folds: Sequence[Fold], base: str) -> str:
    rows = (f"| {one.site} | {', '.join(one.directions)} | {one.rank} | {one.change:.2%} |" for one in folds)
    return _CARD.format(base=base, rows="\n".join(rows))
