"""What `attributions.json` holds: what the first outputs of a run come from."""

import torch
from pydantic import model_validator

from mmsteer.attribution import TECHNIQUES, Attribution
from mmsteer.report.parts import Part


class Attributed(Part):
    """An attributed output, or why it is none.

    `units`: the recipe's word for them.
    `words`: the words of it that the number is of; None for all of it.
    `rate`: of audio the frames in a second.
    """

    units: str = ""
    kind: str = ""
    technique: str = ""
    words: str | None = None
    names: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    whole: float = 0.0
    nothing: float = 0.0
    rate: float | None = None
    refused: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "Attributed":
        if self.refused is None and self.technique not in TECHNIQUES:
            raise ValueError(f"no technique {self.technique!r}")
        if len(self.names) != len(self.values):
            raise ValueError("units and values are not as many")
        return self

    @property
    def found(self) -> Attribution:
        """The attribution."""
        values = torch.tensor(self.values, dtype=torch.float64)
        return Attribution(self.kind, self.technique, self.names, values, self.whole, self.nothing)
