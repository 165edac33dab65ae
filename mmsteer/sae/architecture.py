"""What an architecture is: how activations come about, what is minimised, and how the result is used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from mmsteer.sae.dictionary import SparseDictionary
from mmsteer.sae.weights import Weights

State = Mapping[str, Tensor]
"""What an architecture keeps beside the weights: parameters (trained) and plain tensors (changed in place)."""


@dataclass(frozen=True, eq=False)
class Pass:
    """One batch through a dictionary in training.

    Attributes:
        loss: What is minimised; a number.
        reconstruction: (rows, width), without a graph.
        fired: How many hidden states each feature was active in, (features,).
    """

    loss: Tensor
    reconstruction: Tensor
    fired: Tensor


class Architecture(Protocol):
    """Settings of an architecture; frozen. Hidden states x have mean square norm 1."""

    @property
    def betas(self) -> tuple[float, float]:
        """Of Adam."""

    @property
    def needs_steps(self) -> int:
        """Training must be longer than this."""

    def start(self, weights: Weights) -> State:
        """The state before the first step.

        Args:
            weights: The weights before the first step.
        """

    def run(self, weights: Weights, state: State, x: Tensor, dead: Tensor, step: int) -> Pass:
        """Encode and decode a batch.

        Args:
            weights: The weights.
            state: The state.
            x: Hidden states, (rows, width).
            dead: Which features have been silent for long, (features,) bool.
            step: Number of the step, from 0.
        """

    def freeze(self, weights: Weights, state: State, scale: float) -> SparseDictionary:
        """The dictionary for hidden states as the model makes them.

        Args:
            weights: The weights.
            state: The state.
            scale: What hidden states were multiplied by in training.
        """


def squared_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean squared distance, a number; with x of mean square norm 1, a share of it.

    `x`: hidden states, (rows, width).
    `reconstruction`: (rows, width).
    """
    return (x - reconstruction).square().sum(dim=1).mean()
