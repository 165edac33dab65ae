"""Rows of a recipe, and the labelled samples that its directions are found in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmsteer.errors import DataError
from mmsteer.eval.text import parse_reward
from mmsteer.recipes.rows.schema import Generate, LabelledRows, RewardedOutputs, Rows, RowsDirections, SystemPairs
from mmsteer.tasks import Labelled, Row, check_labels, labelled, read_rows
from mmsteer.types import Adapter, Chat, Sample, Sampling

FEWEST = 4
"""Outputs of each class, for a direction to be found among rewarded ones and judged on others."""


@dataclass(frozen=True)
class Item:
    """One row to generate from.

    Attributes:
        index: Its place.
        row: The row.
        seed: Seed of its noise, the same under every condition.
    """

    index: int
    row: Row
    seed: int


def rows_of(data: Rows) -> tuple[Row, ...]:
    """The rows that a recipe names.

    Args:
        data: What the recipe says.

    Raises:
        DataError: They cannot be read.
    """
    return read_rows(data.files, split=data.split)[: data.n]


def items_of(data: Rows, seed: int) -> tuple[Item, ...]:
    """Rows as what is generated from, each with a seed of its own.

    Args:
        data: What the recipe says.
        seed: The recipe's seed.
    """
    return tuple(Item(at, row, _seed(seed, at)) for at, row in enumerate(rows_of(data)))


def labels_of(data: Any) -> tuple[str, ...]:
    """The labels of directions, before they are found.

    Args:
        data: Where they are found.

    Raises:
        DataError: Rows lack labels.
    """
    if isinstance(data, SystemPairs):
        return tuple(data.systems)
    return ("no", "yes") if isinstance(data, RewardedOutputs) else check_labels(rows_of(data))


def samples_of(entry: RowsDirections, adapter: Adapter, shuffle: int | None = None) -> Labelled:
    """What an entry's directions are found in.

    Args:
        entry: The entry.
        adapter: The model.
        shuffle: Seed with which labels are shuffled, for a control; None to keep them.

    Raises:
        DataError: Nearly all outputs of the model earn the reward, or nearly none.
    """
    if isinstance(entry.data, LabelledRows):
        found = labelled(rows_of(entry.data), adapter)
    elif isinstance(entry.data, SystemPairs):
        found = _under_systems(entry.data, adapter)
    else:
        found = _rewarded(entry.data, adapter)
    return found if shuffle is None else found.shuffled(shuffle)


def sampling_of(how: Generate) -> Sampling:
    """Sampling as adapters take it.

    Args:
        how: What the recipe says.
    """
    return Sampling(**how.model_dump(exclude={"batch"}))


def _under_systems(data: SystemPairs, adapter: Adapter) -> Labelled:
    rows = rows_of(data.prompts)
    asked = [
        (label, row, Sample(f"{row.id}/{label}", _with_system(row, system), row.sample(adapter).images))
        for label, system in data.systems.items()
        for row in rows
    ]
    made = _generated(adapter, [sample for _, _, sample in asked], data.generate, data.seed)
    read = tuple(replace(one, prompt=row.prompt) for one, (_, row, _) in zip(made, asked, strict=True))
    return Labelled(read, tuple(label for label, _, _ in asked), tuple(row.id for _, row, _ in asked))


def _with_system(row: Row, system: str) -> Chat:
    if isinstance(row.prompt, str):
        return Chat(({"role": "system", "content": system}, {"role": "user", "content": row.prompt}))
    if isinstance(row.prompt, Chat) and row.prompt.messages[0]["role"] != "system":
        return replace(row.prompt, messages=({"role": "system", "content": system}, *row.prompt.messages))
    raise DataError(f"{row.place}: a system prompt goes before a prompt or messages without one, not raw text")


def _rewarded(data: RewardedOutputs, adapter: Adapter) -> Labelled:
    rows = [row for row in rows_of(data.prompts) for _ in range(data.samples)]
    asked = [replace(row.sample(adapter), id=f"{row.id}/{at}") for at, row in enumerate(rows)]
    made = _generated(adapter, asked, data.generate, data.seed)
    values = parse_reward(data.reward)([one.output for one in made], [row.reference for row in rows])
    kept = [place for place, value in enumerate(values) if value is not None]
    labels = ["yes" if (values[place] or 0.0) >= 0.5 else "no" for place in kept]
    rare = min(labels.count("yes"), labels.count("no"))
    if rare < FEWEST:
        raise DataError(
            f"{data.reward}: {labels.count('yes')} of {len(labels)} outputs earn the reward; a direction needs "
            f"{FEWEST} or more of both kinds, so take other prompts, a higher temperature or more samples"
        )
    return Labelled(tuple(made[place] for place in kept), tuple(labels), tuple(rows[place].id for place in kept))


def _generated(adapter: Adapter, asked: Sequence[Sample], how: Generate, seed: int) -> list[Sample]:
    starts = range(0, len(asked), how.batch)
    seeds = [_seed(seed, at) for at in range(len(asked))]
    return [
        one
        for start in starts
        for one in adapter.generate(
            asked[start : start + how.batch], sampling_of(how), seeds[start : start + how.batch]
        )
    ]


def _seed(seed: int, index: int) -> int:
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0] >> 1)


def row_files(data: Rows) -> tuple[Path, ...]:
    """The files that rows come from, and those that they name.

    Args:
        data: What the recipe says.
    """
    named = [path for row in rows_of(data) for path in (*row.images, row.audio) if isinstance(path, Path)]
    return (*([Path(data.files)] if Path(data.files).is_file() else []), *dict.fromkeys(named))
