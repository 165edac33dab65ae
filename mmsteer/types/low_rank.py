"""A low-rank edit of a hidden state, as it is trained."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmsteer.errors import DirectionError


@dataclass(frozen=True, eq=False)
class LowRank:
    """What is done to every token: h + Uᵀ(V h + b), with U = `write`, V = `read` and b = `bias`.

    LoReFT, h + Rᵀ(W h + b - R h) with orthonormal rows R, is this with U = R and V = W - R; where the rank is that of a
    subspace, h is moved inside it alone, towards W h + b. DiReFT leaves U and V free.

    Attributes:
        read: (rank, width) float32.
        bias: (rank,).
        write: (rank, width).

    Source: Wu et al. 2024, ReFT, arXiv:2404.03592, equations 2 and 3.
    """

    read: Tensor
    bias: Tensor
    write: Tensor

    def __post_init__(self) -> None:
        parts = (self.read, self.bias, self.write)
        fit = self.read.ndim == 2 and self.read.shape == self.write.shape and self.bias.shape == self.read.shape[:1]
        if not fit or not all(part.is_floating_point() and bool(torch.isfinite(part).all()) for part in parts):
            shapes = ", ".join(f"{tuple(part.shape)} {part.dtype}" for part in parts)
            raise DirectionError(
                f"a low-rank edit is (rank, width), (rank,), (rank, width) finite numbers, not {shapes}"
            )

    def change(self, h: Tensor) -> Tensor:
        """What is added to each token, (..., width).

        Args:
            h: Hidden states, (..., width), of the edit's device and type.
        """
        return (h @ self.read.T + self.bias) @ self.write

    def beside(self, h: Tensor) -> "LowRank":
        """The same edit on the device of a hidden state, and as precise.

        Args:
            h: Hidden state.
        """
        return replace(self, read=self.read.to(h), bias=self.bias.to(h), write=self.write.to(h))
