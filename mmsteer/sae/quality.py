"""How well a dictionary does: what it explains, with how many features, and which of them serve."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.sae.dictionary import SparseDictionary

DENSE = 0.1
"""A feature active more often than this says little of any one hidden state."""


@dataclass(frozen=True)
class Quality:
    """What was measured on some hidden states.

    Attributes:
        fvu: Fraction of variance unexplained, Σ|x - x̂|² / Σ|x - mean|²; one number over all coordinates.
        l0: Active features a hidden state, on average.
        dead: Share of features that were never active here.
        dense: Share of features active in more than a tenth of the hidden states.
        rows: Hidden states.
    """

    fvu: float
    l0: float
    dead: float
    dense: float
    rows: int

    def __str__(self) -> str:
        return f"FVU {self.fvu:.3f}  L0 {self.l0:.1f}  dead {self.dead:.1%}  dense {self.dense:.1%}"


class Meter:
    """Sums over batches, in float64, from which `Quality` follows."""

    def __init__(self, width: int, features: int, device: torch.device | str = "cpu") -> None:
        """Start at nothing.

        `device`: where the batches are; sums stay there until they are read.
        """
        self._sum = torch.zeros(width, dtype=torch.float64, device=device)
        self._squares = torch.zeros(width, dtype=torch.float64, device=device)
        self._missing = torch.zeros((), dtype=torch.float64, device=device)
        self._fired = torch.zeros(features, dtype=torch.int64, device=device)
        self._rows = 0

    def add(self, x: Tensor, reconstruction: Tensor, fired: Tensor) -> None:
        """Count a batch.

        Args:
            x: Hidden states, (rows, width).
            reconstruction: (rows, width).
            fired: How many hidden states each feature was active in, (features,).
        """
        self._sum += x.sum(dim=0, dtype=torch.float64)
        self._squares += x.square().sum(dim=0, dtype=torch.float64)
        self._missing += (x - reconstruction).square().sum(dtype=torch.float64)
        self._fired += fired
        self._rows += len(x)

    def read(self) -> Quality:
        """What the batches so far say.

        Raises:
            DictionaryError: There was no batch, or all hidden states were the same.
        """
        variance = float((self._squares - self._sum.square() / max(self._rows, 1)).sum())
        if not variance > 0:
            raise DictionaryError(f"{self._rows} hidden states have a variance of {variance:g}; nothing to explain")
        frequency = self._fired.double() / self._rows
        return Quality(
            float(self._missing) / variance,
            float(frequency.sum()),
            float((self._fired == 0).double().mean()),
            float((frequency > DENSE).double().mean()),
            self._rows,
        )


@torch.no_grad()
def measure(dictionary: SparseDictionary, batches: Iterable[Tensor]) -> Quality:
    """The quality of a dictionary on hidden states, best on some that it was not trained on.

    Args:
        dictionary: The dictionary.
        batches: Hidden states, (rows, width) each.
    """
    meter = Meter(dictionary.width, dictionary.features, dictionary.decoder.device)
    for batch in batches:
        x = batch.to(dictionary.decoder.device, torch.float32)
        z = dictionary.encode(x)
        meter.add(x, dictionary.decode(z), (z > 0).sum(dim=0))
    return meter.read()
