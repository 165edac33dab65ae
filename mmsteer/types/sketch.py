"""What a direction keeps of the weights of its model, so that another model can be compared with it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

COMPATIBILITIES = ("exact", "architecture", "dimension")
"""How alike two models are, from the strictest: the same weights; weights of the same names and shapes; the widths."""

NEIGHBOURS = 2.0**-7
"""Most that two bfloat16 numbers without another between them differ, relative to the larger."""

SMALLEST = 2.0**-24
"""The distance of two numbers that are subnormal in float16."""

_ARCHITECTURE, _NUMBERS = "architecture", "sketch"
KEYS = (_ARCHITECTURE, _NUMBERS)
"""What the texts are called, among those that say where activations come from."""


@dataclass(frozen=True, eq=False)
class Sketch:
    """The architecture of a model and a few numbers of each of its weights, those of adapters (LoRA) left out.

    Attributes:
        architecture: Digest of the model's type and the names and shapes of its weights.
        numbers: Numbers of every weight, in the order of their names, (n,) bfloat16; NaN where a weight is quantised.
    """

    architecture: str
    numbers: Tensor

    def is_of(self, other: "Sketch") -> bool:
        """Whether both are of the same weights, each held in float32, bfloat16 or float16.

        A number that was cast to float16 or bfloat16 on one side alone rounds to the same bfloat16 or to its neighbour.
        A fine-tune moves numbers close to zero by more, for they are small beside its changes: one in thirty where the
        changes are a thousandth of the weights. What either model holds quantised is not compared; norms and
        embeddings, which quantisation leaves as they are, always are.

        Args:
            other: Of the other model.
        """
        if self.architecture != other.architecture or self.numbers.shape != other.numbers.shape:
            return False
        mine, its = self.numbers.float(), other.numbers.float()
        both = mine.isfinite() & its.isfinite()
        mine, its = mine[both], its[both]
        allowed = NEIGHBOURS * torch.maximum(mine.abs(), its.abs()) + SMALLEST
        return bool(both.any() and ((mine - its).abs() <= allowed).all())

    def written(self) -> dict[str, str]:
        """As texts, under the keys `KEYS`."""
        numbers = self.numbers.contiguous().view(torch.int16).numpy().astype("<i2").tobytes()
        return {_ARCHITECTURE: self.architecture, _NUMBERS: base64.b64encode(numbers).decode()}

    @classmethod
    def read(cls, texts: Mapping[str, str]) -> "Sketch | None":
        """From texts of `written` among others; None where they are not.

        Args:
            texts: The texts.

        Raises:
            ValueError: The numbers are not written as `written` does.
        """
        if not texts.keys() >= set(KEYS):
            return None
        numbers = bytearray(base64.b64decode(texts[_NUMBERS], validate=True))
        return cls(texts[_ARCHITECTURE], torch.frombuffer(numbers, dtype=torch.int16).view(torch.bfloat16).clone())
