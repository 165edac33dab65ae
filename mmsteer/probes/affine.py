"""A prediction that is affine in the hidden state."""

from dataclasses import dataclass

from torch import Tensor

from mmsteer.errors import ProbeError


@dataclass(frozen=True, eq=False)
class Affine:
    """x · weights + offset, and the weights as unit vectors.

    Attributes:
        directions: Unit vectors, (width, labels) float32.
        weights: (width, labels).
        offset: (labels,).
    """

    directions: Tensor
    weights: Tensor
    offset: Tensor

    @classmethod
    def of(cls, weights: Tensor, offset: Tensor) -> "Affine":
        """From the weights of a regression.

        `weights`: (width, labels) float64.
        `offset`: (labels,).

        Raises:
            ProbeError: A weight is zero, so it points nowhere.
        """
        lengths = weights.norm(dim=0)
        if not lengths.all():
            raise ProbeError("the regression's weight is zero: the states do not tell the labels apart")
        return cls((weights / lengths).float(), weights, offset)

    def __call__(self, x: Tensor) -> Tensor:
        """Predictions, (n, labels) float32.

        `x`: hidden states, (n, width).
        """
        # float64: states far from zero cancel against the offset.
        return (x.to(self.weights) @ self.weights + self.offset).float()
