"""Recordings of many copies, averaged while they come in."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.types import Activations, LogHistogram, Site

DATA_KEY = "data"


@dataclass(frozen=True, eq=False)
class Sides:
    """Each side of each group as one sample, ready for `sweep`.

    Attributes:
        activations: The averaged states.
        labels: One a row.
        groups: One a row.
    """

    activations: Activations
    labels: tuple[int, ...]
    groups: tuple[str, ...]


def average_sides(parts: Iterable[tuple[Activations, Sequence[int], Sequence[str]]]) -> Sides:
    """The mean state of each label in each group, without ever holding all samples.

    Fifty masked copies of an image at every token of a tower become one row. Paired probes find the same direction
    as in all samples; held-out scores then judge averages.

    Args:
        parts: Recordings of whole groups with the label and the group of each sample, such as one for each of
            `contrast.parts(4)`; taken one at a time.

    Raises:
        ProbeError: There are none, or two parts share a group.
    """
    rows: list[tuple[str, int]] = []
    values: dict[Site, list[Tensor]] = {}
    norms: dict[Site, LogHistogram] = {}
    digest, source = hashlib.sha256(), dict[str, str]()
    for activations, labels, groups in parts:
        keys = list(zip(groups, (int(label) for label in labels), strict=True))
        twice = sorted({group for group, _ in rows} & set(groups))
        if twice:
            raise ProbeError(f"the group {twice[0]!r} is in two parts; its side would be averaged in pieces")
        wanted = list(dict.fromkeys(keys))
        rows += wanted
        where = torch.tensor([wanted.index(key) for key in keys])
        for site, states in activations.values.items():
            values.setdefault(site, []).append(_means(states, where, len(wanted)))
            norms[site] = norms.get(site, LogHistogram({})) + activations.norms[site]
        source = {**activations.source}
        digest.update(source.get(DATA_KEY, "").encode())
    if not rows:
        raise ProbeError("no recordings to average; give one part or more")
    return Sides(
        activations=Activations(
            values={site: torch.cat(means) for site, means in values.items()},
            norms=norms,
            ids=tuple(f"{group}/{label}" for group, label in rows),
            source=source | {DATA_KEY: digest.hexdigest()[:16]},
        ),
        labels=tuple(label for _, label in rows),
        groups=tuple(group for group, _ in rows),
    )


def _means(states: Tensor, where: Tensor, count: int) -> Tensor:
    sums = torch.zeros(count, *states.shape[1:]).index_add_(0, where, states.float())
    return sums / torch.bincount(where, minlength=count).view(-1, *[1] * (states.ndim - 1))
