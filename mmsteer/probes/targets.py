"""Labels as the numbers that a probe is fitted to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from mmsteer.errors import ProbeError

TargetKind = Literal["binary", "multiclass", "regression"]
SIDES = {"yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0, "positive": 1.0, "negative": 0.0}
"""Words that say which of two classes is the one that is looked for."""
Labels = Tensor | Sequence[str] | Sequence[int] | Sequence[float]

POSITIVE = "yes"
GROWING = "more"


@dataclass(frozen=True, eq=False)
class Targets:
    """One column of numbers for each direction to be found.

    Attributes:
        task: What kind of question the labels answer.
        columns: (n, labels) float32: membership of each class as 0 or 1, or the value itself.
        labels: The name of each column: `yes` (binary), the class (multiclass), `more` (regression).
    """

    task: TargetKind
    columns: Tensor
    labels: tuple[str, ...]


def encode(y: Labels, task: TargetKind) -> Targets:
    """Labels as targets; multiclass means one column a class, one against the rest.

    `y`: one label a sample: 0 or 1, or a word of `SIDES` (binary), class names or numbers (multiclass), values
    (regression). Numbers may be written as text.

    Raises:
        ProbeError: The labels do not fit the task, are not finite, or never differ.

    >>> encode(["C", "D", "C"], "multiclass").columns[:, 0].tolist()
    [1.0, 0.0, 1.0]
    >>> encode(["yes", "no", "yes"], "binary").columns[:, 0].tolist()
    [1.0, 0.0, 1.0]
    """
    if task not in get_args(TargetKind):
        raise ProbeError(f"no task {task!r}; choose from {', '.join(get_args(TargetKind))}")
    if task == "multiclass":
        return _one_column_a_class(y)
    values = _numbers(y, task)
    found = torch.unique(values)
    if task == "binary" and not set(found.tolist()) <= {0.0, 1.0}:
        raise ProbeError(
            f"a binary probe takes labels 0 and 1, got {found[:5].tolist()}; "
            "name the classes and fit multiclass, or fit regression"
        )
    if len(found) < 2:
        raise ProbeError(f"all {len(values)} labels are {found.tolist()}; a probe needs samples that differ")
    return Targets(task, values[:, None].float(), (POSITIVE if task == "binary" else GROWING,))


def _numbers(y: Labels, task: TargetKind) -> Tensor:
    words = SIDES if task == "binary" else {}
    plain = y if isinstance(y, Tensor) else [_number(label, words) for label in y]
    try:
        values = torch.as_tensor(plain, dtype=torch.float64).cpu()
    except (TypeError, ValueError):
        strange = [repr(label) for label in dict.fromkeys(plain) if isinstance(label, str)]
        taken = "0 and 1, or yes and no," if words else "numbers"
        raise ProbeError(
            f"a {task} probe takes {taken} as labels, got {', '.join(strange[:3]) or type(y).__name__}; fit "
            "multiclass, which finds a direction for each class by its name"
        ) from None
    if values.ndim != 1:
        raise ProbeError(f"labels: expected (n,), got {tuple(values.shape)}")
    if not values.isfinite().all():
        raise ProbeError("labels: some are NaN or infinite; leave those samples out")
    return values


def _number(label: object, words: Mapping[str, float]) -> object:
    """A label written as text as the number it stands for; other text stays."""
    if not isinstance(label, str):
        return label
    try:
        return words[label.lower()] if label.lower() in words else float(label)
    except ValueError:
        return label


def _one_column_a_class(y: Labels) -> Targets:
    names = [str(label) for label in (y.tolist() if isinstance(y, Tensor) else y)]
    classes = sorted(set(names), key=_order)
    if len(classes) < 2:
        raise ProbeError(f"all {len(names)} labels are {classes}; a multiclass probe needs two classes or more")
    columns = [[float(name == one) for one in classes] for name in names]
    return Targets("multiclass", torch.tensor(columns), tuple(classes))


def _order(name: str) -> tuple[float, str]:
    """Numbers by size, and before words."""
    try:
        return float(name), name
    except ValueError:
        return float("inf"), name
