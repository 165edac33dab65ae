"""Rows as what vectors are trained on."""

from collections.abc import Sequence

from mmsteer.errors import DataError
from mmsteer.tasks import Row, sources_of
from mmsteer.types import Adapter, Sample


def wanted_outputs(rows: Sequence[Row], adapter: Adapter, label: str | None) -> list[Sample]:
    """The outputs of a label; of all rows where none is named.

    Args:
        rows: Rows with answers or audio.
        adapter: The model.
        label: The label that is wanted.

    Raises:
        DataError: No row has the label, or one of them has no output.
    """
    labels = dict.fromkeys(row.label for row in rows if row.label is not None)
    if label is None and len(labels) > 1:
        raise DataError(f"rows have the labels {', '.join(labels)}; say by --label which outputs are wanted")
    chosen = [row for row in rows if label is None or row.label == label]
    if not chosen:
        raise DataError(f"no row has the label {label!r}; there are: {', '.join(labels) or 'none'}")
    return [_with_output(row, adapter) for row in chosen]


def paired_outputs(rows: Sequence[Row], adapter: Adapter, label: str | None) -> tuple[list[Sample], list[Sample]]:
    """Wanted outputs and unwanted ones of the same sources, such as the same prompts.

    Args:
        rows: Rows with labels, whose group, or prompt and images, say what belongs together.
        adapter: The model.
        label: The label that is wanted; the others are not.

    Raises:
        DataError: No label is named, or no source has outputs of both sides.
    """
    if label is None:
        raise DataError("pairs need a wanted side: name it by --label")
    sides: dict[str, tuple[list[Row], list[Row]]] = {}
    for row, source in zip(rows, sources_of(rows), strict=True):
        if row.label is not None:
            sides.setdefault(source, ([], []))[row.label != label].append(row)
    pairs = [pair for better, worse in sides.values() for pair in zip(better, worse, strict=False)]
    if not pairs:
        raise DataError(f"no source has an output of {label!r} and one of another label; give pairs one `group` each")
    better, worse = ([_with_output(pair[side], adapter) for pair in pairs] for side in (0, 1))
    return better, worse


def _with_output(row: Row, adapter: Adapter) -> Sample:
    sample = row.sample(adapter, answered=True)
    if sample.output is None:
        raise DataError(f"{row.place}: the row has no answer to learn from")
    return sample
