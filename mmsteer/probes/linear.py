"""Linear regression of the labels on the states, in closed form: the direction is the weight."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.affine import Affine
from mmsteer.probes.fitted import Fitted, Progress, check_states, judge
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import Labels, TargetKind, encode

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True)
class Linear:
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

    ridges: tuple[float, ...] = GRID
    seed: int = 0

    def fit(
        self,
        x: Tensor,
        y: Labels,
        *,
        task: TargetKind,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Fitted:
        """See `Probe.fit`.

        Args:
            x: Hidden states, (n, width).
            y: One label a sample.
            task: What kind of question the labels answer.
            groups: The source of each sample.
            progress: Called with the fraction that is done.

        Raises:
            ProbeError: The data cannot carry a probe, or there is no ridge above zero to try.
        """
        if not self.ridges or min(self.ridges) <= 0:
            raise ProbeError(f"ridges={self.ridges}: give one or more numbers above zero")
        targets = encode(y, task)
        states = check_states(x, len(targets.columns))
        split = split_by_source(targets, groups, self.seed)
        columns = targets.columns.to(x.device)
        train, validation, fitting = (rows.to(x.device) for rows in (split.train, split.validation, split.fitting))
        tries = regressions(states[train], columns[train], self.ridges)
        errors = [float((one(states[validation]) - columns[validation]).square().mean()) for one in tries]
        chosen = self.ridges[min(range(len(errors)), key=errors.__getitem__)]
        (predictor,) = regressions(states[fitting], columns[fitting], (chosen,))
        settings = {"probe": "linear", **asdict(self), "task": task, "chosen": chosen, "error": min(errors)}
        fitted = judge(states, targets, split, predictor.directions, predictor, settings)
        if progress:
            progress(1.0)
        return fitted


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
