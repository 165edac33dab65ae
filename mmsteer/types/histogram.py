"""Positive numbers counted in bins of equal ratio: quantiles of parts that are read one after another."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

BINS_PER_OCTAVE = 128
"""Bins a factor of two: the edges of a bin are 0.54 % apart, which is the most that a quantile is wrong by."""

OCTAVES = 32
"""Numbers from 2^-32 to 2^32 are told apart; those outside, zero among them, count in the first or last bin."""

_HALF = OCTAVES * BINS_PER_OCTAVE


@dataclass(frozen=True)
class LogHistogram:
    """How many of some positive numbers lie in each bin; the histogram of two parts is the sum of theirs.

    Attributes:
        counts: For each bin that is not empty how many it holds; bin k is from 2^(k/128) to 2^((k+1)/128).
    """

    counts: Mapping[int, int]

    @classmethod
    def of(cls, values: Tensor) -> "LogHistogram":
        """Count numbers.

        Args:
            values: The numbers, of any shape.
        """
        return cls.of_bins(binned(values, torch.ones_like(values, dtype=torch.bool)))

    @classmethod
    def of_bins(cls, bins: Tensor) -> "LogHistogram":
        """Bring what `binned` counted on a device to the host.

        Args:
            bins: How many are in each bin.
        """
        held = bins.cpu().numpy()  # whose search is quicker than torch's, and this is done for every layer of a batch
        places = np.flatnonzero(held)
        return cls(dict(zip((places - _HALF).tolist(), held[places].tolist(), strict=True)))

    def __add__(self, other: "LogHistogram") -> "LogHistogram":
        places = sorted(self.counts.keys() | other.counts.keys())
        return LogHistogram({k: self.counts.get(k, 0) + other.counts.get(k, 0) for k in places})

    @property
    def count(self) -> int:
        """How many numbers were counted."""
        return sum(self.counts.values())

    @property
    def median(self) -> float:
        """The median, to 0.54 %; of an even count the lower one."""
        return self.quantile(0.5)

    def quantile(self, share: float) -> float:
        """The number below which a share of them lies, to 0.54 %; inside a bin they count as evenly spread.

        Args:
            share: From 0 to 1.

        Raises:
            ValueError: Nothing was counted.
        """
        if not self.counts:
            raise ValueError("a histogram of nothing has no quantiles")
        places = sorted(self.counts)
        up_to = list(accumulate(self.counts[place] for place in places))
        rank = share * up_to[-1]
        at = bisect_left(up_to, rank)
        inside = 1 - (up_to[at] - rank) / self.counts[places[at]]
        return float(2 ** ((places[at] + inside) / BINS_PER_OCTAVE))


def binned(values: Tensor, chosen: Tensor) -> Tensor:
    """How many of the chosen numbers are in each bin, (bins,) int64, counted where they are, without synchronisation.

    Args:
        values: Positive numbers.
        chosen: Which count, bool, of the same shape.
    """
    return binned_each([values], [chosen])[0]


def binned_each(values: Sequence[Tensor], chosen: Sequence[Tensor]) -> Tensor:
    """`binned` of several, by as many operators as for one, (several, bins) int64, where the first one is.

    Args:
        values: Positive numbers of any shapes.
        chosen: For each of them which count.
    """
    device = values[0].device
    whole = torch.cat([one.to(device, torch.float32).flatten() for one in values])
    counted = torch.cat([one.to(device).flatten() for one in chosen]).long()
    ends = torch.tensor([one.numel() for one in values], device=device)
    of = torch.arange(len(values), device=device).repeat_interleave(ends, output_size=whole.numel())
    places = (whole.log2() * BINS_PER_OCTAVE).floor().nan_to_num(0.0).clamp(-_HALF, _HALF - 1).long() + _HALF
    counts = torch.zeros(len(values) * 2 * _HALF, dtype=torch.long, device=device)
    return counts.index_add_(0, places + of * 2 * _HALF, counted).reshape(len(values), -1)
