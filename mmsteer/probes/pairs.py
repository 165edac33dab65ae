"""Samples that belong together, and the first principal component of their differences."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.linear_readout import COINCIDE


def paired(groups: Sequence[str] | None, positive: Tensor) -> bool:
    """Whether every group holds samples of both classes.

    Args:
        groups: The group of each sample; None where samples stand alone.
        positive: Membership as 0 or 1, (n,).
    """
    if groups is None:
        return False
    sides = set(zip(groups, positive.tolist(), strict=True))
    return len(sides) == 2 * len(set(groups))


def differences(x: Tensor, positive: Tensor, groups: Sequence[str]) -> Tensor:
    """For each group the mean of its positives minus the mean of its negatives, (groups, ...) float64.

    A group may hold one of each, or, as in VTI, one clean image and many masked copies.

    Args:
        x: Hidden states, (n, ...).
        positive: Membership as 0 or 1, (n,).
        groups: The group of each sample; every group holds both classes.
    """
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    where = torch.from_numpy(member).to(x.device)
    chosen = positive.to(x.device).double()
    # Each sample weighs 1 / (size of its side of its group), negatives below zero.
    weight = torch.where(chosen > 0.5, 1.0, -1.0).double()
    side = where * 2 + (chosen > 0.5)
    weight = weight / torch.bincount(side, minlength=2 * len(names))[side]
    sums = torch.zeros(len(names), *x.shape[1:], dtype=torch.float64, device=x.device)
    return sums.index_add_(0, where, x.double() * weight.view(-1, *[1] * (x.ndim - 1)))


def first_component(blocks: Sequence[Tensor], scale: float) -> list[Tensor]:
    """First right singular vector of blocks of columns side by side, one part a block.

    The parts together have norm 1, at each token on its own where there are tokens. The sample that lies furthest
    from zero on the component lies on its positive side.

    `blocks`: rows to be explained, each (n, width) or (n, tokens, width); means are not taken off.
    `scale`: typical norm of the states; variation a millionth as large is rounding noise.

    Raises:
        ProbeError: There are fewer than two rows, or the rows do not vary.
    """
    rows = len(blocks[0])
    if rows < 2:
        raise ProbeError(f"a principal component needs two pairs or samples at least to be fitted on, got {rows}")
    tokens = [block.transpose(0, -2) for block in blocks]  # (tokens, n, width); nothing changes without tokens
    # The Gram matrix is as small as the number of samples, however many layers stand side by side.
    gram = torch.stack([block @ block.mT for block in tokens]).sum(dim=0)
    values, vectors = torch.linalg.eigh(gram)
    largest, weights = values[..., -1], vectors[..., -1]
    flat = ~(largest > rows * (COINCIDE * scale) ** 2)
    if flat.any():
        where = f" at {int(flat.sum())} of {flat.numel()} tokens" if flat.ndim else ""
        raise ProbeError(f"the samples do not vary{where}, so there is no principal component")
    furthest = weights.gather(-1, weights.abs().argmax(dim=-1, keepdim=True))
    weights = weights * furthest.sign() / largest.sqrt()[..., None]
    return [(weights[..., None, :] @ block).squeeze(-2) for block in tokens]
