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


def usage(dictionary: SparseDictionary, batches: Iterable[Tensor]) -> Usage:
    """Count how a dictionary's features are used, in one pass and memory for the features alone.

    Args:
        dictionary: The dictionary.
        batches: Hidden states, (rows, width) each.

    Raises:
        DictionaryError: There are no hidden states, or they have another width.
    """
    counter = UsageCounter(dictionary)
    for batch in batches:
        counter.add(batch)
    return counter.usage()


class UsageCounter:
    """Counts how a dictionary's features are used, batch by batch, in memory for the features alone."""

    def __init__(self, dictionary: SparseDictionary) -> None:
        self._dictionary = dictionary
        self._total, self._squares, self._active = (
            torch.zeros(dictionary.features, dtype=torch.float64) for _ in range(3)
        )
        self._maximum = torch.zeros(dictionary.features)
        self._norms, self._rows = LogHistogram({}), 0

    @torch.no_grad()
    def add(self, batch: Tensor) -> Tensor:
        """Count some hidden states, (rows, width), and give their activations, (rows, features)."""
        z = self._dictionary.encode(batch.to(self._dictionary.decoder.device)).cpu()
        self._total += z.sum(dim=0, dtype=torch.float64)
        self._squares += z.double().square().sum(dim=0)
        self._active += (z > 0).sum(dim=0)
        self._maximum = torch.maximum(self._maximum, z.amax(dim=0))
        self._norms += LogHistogram.of(torch.linalg.vector_norm(batch.float(), dim=-1))
        self._rows += len(batch)
        return z

    def usage(self) -> Usage:
        """What was counted.

        Raises:
            DictionaryError: There were no hidden states.
        """
        if not self._rows:
            raise DictionaryError("there are no hidden states; a dictionary's use is measured on at least one")
        mean = self._total / self._rows
        spread = (self._squares / self._rows - mean.square()).clamp(min=0).sqrt()
        density = (self._active / self._rows).float()
        norms = NormSpread.of(self._norms)
        return Usage(mean.float(), spread.float(), self._maximum, density, self._norms.median, self._rows, norms)
