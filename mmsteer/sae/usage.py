"""How a dictionary's features are used on some hidden states: the natural scale of every strength."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.sae.dictionary import SparseDictionary
from mmsteer.types import LogHistogram, NormSpread


@dataclass(frozen=True, eq=False)
class Usage:
    """What was counted, one number a feature, float32. Measure it at the positions that will be steered.

    Attributes:
        mean: Mean activation, silence counted as zero.
        spread: Standard deviation of the activation, silence counted as zero.
        maximum: Largest activation.
        density: Share of hidden states in which it is active.
        norm: Typical norm of the hidden states, the unit of relative strength.
        rows: Hidden states, or pooled samples.
        norms: What `norm` is the median of; None where it is the mean over all states, as in earlier files.
    """

    mean: Tensor
    spread: Tensor
    maximum: Tensor
    density: Tensor
    norm: float
    rows: int
    norms: NormSpread | None = None

    @classmethod
    def of_samples(cls, z: Tensor, norms: LogHistogram) -> "Usage":
        """How features are used in pooled samples.

        Args:
            z: Pooled activations, (samples, features).
            norms: Of the hidden states that were pooled.
        """
        active = (z > 0).float().mean(dim=0)
        spread = NormSpread.of(norms)
        return cls(z.mean(dim=0), z.std(dim=0), z.amax(dim=0), active, norms.median, len(z), spread)


@torch.no_grad()
def usage(dictionary: SparseDictionary, batches: Iterable[Tensor]) -> Usage:
    """Count how a dictionary's features are used, in one pass and memory for the features alone.

    Args:
        dictionary: The dictionary.
        batches: Hidden states, (rows, width) each.

    Raises:
        DictionaryError: There are no hidden states, or they have another width.
    """
    total, squares, active = (torch.zeros(dictionary.features, dtype=torch.float64) for _ in range(3))
    maximum = torch.zeros(dictionary.features)
    norms, rows = LogHistogram({}), 0
    for batch in batches:
        z = dictionary.encode(batch.to(dictionary.decoder.device)).cpu()
        total += z.sum(dim=0, dtype=torch.float64)
        squares += z.double().square().sum(dim=0)
        active += (z > 0).sum(dim=0)
        maximum = torch.maximum(maximum, z.amax(dim=0))
        norms += LogHistogram.of(torch.linalg.vector_norm(batch.float(), dim=-1))
        rows += len(batch)
    if not rows:
        raise DictionaryError("there are no hidden states; a dictionary's use is measured on at least one")
    mean = total / rows
    spread = (squares / rows - mean.square()).clamp(min=0).sqrt()
    density = (active / rows).float()
    return Usage(mean.float(), spread.float(), maximum, density, norms.median, rows, NormSpread.of(norms))
