"""What a file of another library holds, before anybody has said what its layers stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from mmsteer.types import Site

ByLayer = Mapping[int | str, Tensor]
"""Vectors by what the file calls their layers."""
InOrder = Sequence[Tensor]
"""Vectors whose layers the file does not name."""


@dataclass(frozen=True, eq=False)
class Content:
    """Vectors that a file holds, each as long as it is added at a coefficient of 1.

    Attributes:
        vectors: For each label the vectors; the label is empty where the file has one set of them.
        name: What the file calls them; None where it does not.
        source: What else it says, for the provenance.
        lost: What of it directions cannot express, by name.
    """

    vectors: Mapping[str, ByLayer | InOrder]
    name: str | None = None
    source: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Export:
    """Vectors on their way into a file of another library.

    Attributes:
        name: Of the direction.
        vectors: What a coefficient of 1 adds at each site, (width,) float32.
        hint: Type of the model, as its configuration has it.
    """

    name: str
    vectors: Mapping[Site, Tensor]
    hint: str = "unknown"
