"""One direction an image, for steering each row of a batch along its own."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.fitted import check_states
from mmsteer.probes.linear_readout import COINCIDE
from mmsteer.probes.pairs import differences, paired
from mmsteer.probes.sweep import MODEL_KEY
from mmsteer.probes.targets import Labels, encode
from mmsteer.types import Activations, Direction, Site, SiteStats


def per_image_directions(
    activations: Activations, labels: Labels, groups: Sequence[str], *, family: str
) -> Mapping[str, Direction]:
    """For each group the unit vector from its negatives to its positives, named `family:group`.

    With prompts read with and without their image, this is VISTA's vector. A vector of one image has no held-out
    score; mean and spread are those of all samples.

    Args:
        activations: Pooled hidden states, (samples, width) at each site.
        labels: 0 or 1 for each sample.
        groups: The image of each sample; each has samples of both labels.
        family: What the labels are about.

    Raises:
        ProbeError: A group lacks a side, its sides coincide, or the states cannot carry a direction.

    Source: Li et al. 2025, arXiv:2502.03628.
    """
    positive = encode(labels, "binary").columns[:, 0]
    if not paired(groups, positive):
        raise ProbeError("a direction for each image needs samples of both labels for each image")
    if MODEL_KEY not in activations.source:
        raise ProbeError("activations do not say which model they come from, and a direction belongs to one model")
    states = {site: check_states(x, len(positive)) for site, x in activations.values.items()}
    vectors = {site: _unit(site, differences(x, positive, groups), x, groups) for site, x in states.items()}
    provenance = {**activations.provenance, "probe": "per_image"}
    sketch = activations.sketch
    return {
        group: Direction(
            f"{family}:{group}",
            {site: vector[place] for site, vector in vectors.items()},
            {
                site: SiteStats.of(None, torch.linalg.vecdot(states[site], vector[place]), activations.norms[site])
                for site, vector in vectors.items()
            },
            activations.source[MODEL_KEY],
            provenance,
            sketch=sketch,
        )
        for place, group in enumerate(_names(groups))
    }


def _names(groups: Sequence[str]) -> list[str]:
    """The groups in the order of `differences`."""
    return np.unique(np.asarray(groups, dtype=str)).tolist()


def _unit(site: Site, changes: Tensor, x: Tensor, groups: Sequence[str]) -> Tensor:
    lengths = changes.norm(dim=1)
    same = (~(lengths > COINCIDE * float(x.norm(dim=1).mean()))).nonzero().flatten().tolist()
    if same:
        raise ProbeError(f"{site}: the two sides of {_names(groups)[same[0]]!r} coincide: no direction between them")
    return (changes / lengths[:, None]).float()
