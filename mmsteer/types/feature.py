"""How a feature of a sparse dictionary is read from a hidden state."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmsteer.errors import DirectionError


@dataclass(frozen=True, eq=False)
class Feature:
    """One feature's activation: a = h . encoder + bias, kept where it exceeds the threshold and zero, else 0.

    Attributes:
        encoder: (width,), its length is part of the activation's unit.
        bias: Added to the product.
        threshold: What the activation must exceed.
    """

    encoder: Tensor
    bias: float
    threshold: float

    def __post_init__(self) -> None:
        if self.encoder.ndim != 1 or not self.encoder.is_floating_point() or not torch.isfinite(self.encoder).all():
            raise DirectionError(
                f"the encoder of a feature is (width,) finite numbers, not {tuple(self.encoder.shape)} "
                f"{self.encoder.dtype}"
            )
        if not (math.isfinite(self.bias) and math.isfinite(self.threshold)):
            raise DirectionError(f"a feature with bias {self.bias} and threshold {self.threshold} cannot be read")

    def read(self, h: Tensor) -> Tensor:
        """The activation of each token, (..., 1); never below zero.

        Args:
            h: Hidden states, (..., width), of the encoder's device and type: float32 or better, because thresholds flip
                in half precision.
        """
        a = (h @ self.encoder).unsqueeze(-1) + self.bias
        return torch.where(a > self.threshold, a, 0).relu()

    def beside(self, h: Tensor) -> "Feature":
        """The same feature on the device of a hidden state, and as precise.

        Args:
            h: Hidden state.
        """
        return replace(self, encoder=self.encoder.to(h))
