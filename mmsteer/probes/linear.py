"""Linear regression of the labels on the states, in closed form: the direction is the weight."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.affine import Affine
from mmsteer.probes.bounds import Positive
from mmsteer.probes.fitted import Progress
from mmsteer.probes.site_probe import FitData, Found, SiteProbe
from mmsteer.probes.targets import TargetKind

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True)
class Linear(SiteProbe):
    """The weight of a ridge regression of membership, or of the value, on the centred states.

    w = (XᵀX + n r s I)⁻¹ Xᵀy, with s the mean square of a coordinate, so that the ridge r has no unit: at r = 1 the
    penalty weighs as much as the states do on average; towards 0 it is least squares, and towards infinity the mean
    difference. The ridge is the one with the smallest squared error on the validation part; the fit is then repeated on
    training and validation part together.

    Attributes:
        ridges: Values of r to choose from.
        seed: Seed of the split by source.

    Source: Hoerl and Kennard 1970, Technometrics 12(1); as a probe, Alain and Bengio 2016, arXiv:1610.01644.
    """

    name: Literal["linear"] = field(default="linear", kw_only=True)
    ridges: Annotated[tuple[Positive, ...], Field(min_length=1)] = GRID

    def _check(self, task: TargetKind) -> None:
        if not self.ridges or min(self.ridges) <= 0:
            raise ProbeError(f"ridges={self.ridges}: give one or more numbers above zero")

    def _find(self, data: FitData, progress: Progress | None) -> Found:
        (train, columns), (validation, wanted) = data.part(data.split.train), data.part(data.split.validation)
        errors = [float((one(validation) - wanted).square().mean()) for one in regressions(train, columns, self.ridges)]
        chosen = self.ridges[min(range(len(errors)), key=errors.__getitem__)]
        (predictor,) = regressions(*data.fitting, (chosen,))
        return Found(predictor.directions, predictor, {"chosen": chosen, "error": min(errors)})


def regressions(x: Tensor, columns: Tensor, ridges: Sequence[float]) -> list[Affine]:
    """Ridge regressions of one data set; all of them from one singular value decomposition.

    Args:
        x: Hidden states, (n, width).
        columns: Targets, (n, labels).
        ridges: In units of the mean square of a coordinate.
    """
    wide, wanted = x.double(), columns.double()
    mean, middle = wide.mean(dim=0), wanted.mean(dim=0)
    left, sizes, right = torch.linalg.svd(wide - mean, full_matrices=False)
    seen = left.T @ (wanted - middle)
    unit = sizes.square().sum() / x.shape[1]  # n times the mean square of a coordinate
    weights = [right.T @ ((sizes / (sizes.square() + ridge * unit))[:, None] * seen) for ridge in ridges]
    return [Affine.of(weight, middle - mean @ weight) for weight in weights]
