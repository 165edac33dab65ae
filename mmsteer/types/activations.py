"""Hidden states of many samples."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mmsteer.errors import StoreError
from mmsteer.types.histogram import LogHistogram
from mmsteer.types.site import Site
from mmsteer.types.sketch import KEYS, Sketch


@dataclass(frozen=True, eq=False)
class Activations:
    """Hidden states read at several sites from the same samples.

    Attributes:
        values: For each site the states, (samples, width) when pooled, or (samples, windows, width) when
            pooled over windows of time; float32.
        norms: For each site the norms of the unpooled states, sinks left out; their median is the unit of relative
            strength.
        ids: One name a sample, in the order of the rows.
        source: What was read and how: fingerprint and sketch of the model, data fingerprint, positions, pooling.
    """

    values: Mapping[Site, Tensor]
    norms: Mapping[Site, LogHistogram]
    ids: tuple[str, ...]
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        for site, value in self.values.items():
            if value.shape[0] != len(self.ids):
                raise StoreError(f"{site}: {value.shape[0]} rows for {len(self.ids)} samples")

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites, in the order they were recorded."""
        return tuple(self.values)

    @property
    def sketch(self) -> Sketch | None:
        """Of the model that was read; None where the source does not have it."""
        return Sketch.read(self.source)

    @property
    def provenance(self) -> dict[str, str]:
        """The source without what identifies the model."""
        return {key: value for key, value in self.source.items() if key not in ("model", *KEYS)}
