"""Rows of a recipe, and the labelled samples that its directions are found in."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmsteer.errors import DataError
from mmsteer.eval.text import parse_reward
from mmsteer.recipes.music.data import world_rows
from mmsteer.recipes.music.schema import WorldPrompts
from mmsteer.recipes.rows.schema import Generate, LabelledRows, RewardedOutputs, Rows, SystemPairs
from mmsteer.recipes.rows.scorers import text_scorers
from mmsteer.recipes.rows.task import seed_of
from mmsteer.tasks import Labelled, Row, check_labels, labelled, read_rows
from mmsteer.types import Adapter, Chat, Sample, Sampling

FEWEST = 4
"""Outputs of each class, for a direction to be found among rewarded ones and judged on others."""


def rows_of(data: Any) -> tuple[Row, ...]:
    """The rows that a recipe names.

    `data`: A file or folder of rows, the rendered world of music, or prompts as they are.

    Raises:
        DataError: They cannot be read, or what the world is asked for contradicts itself.
    """
    if isinstance(data, Rows):
        return read_rows(data.files, split=data.split)[: data.n]
    if isinstance(data, WorldPrompts):
        return world_rows(data.world)
    return tuple(Row(str(at), f"prompt {at}", text) for at, text in enumerate(data))


def labels_of(data: Any) -> tuple[str, ...]:
    """The labels of directions, before they are found.

    Raises:
        DataError: Rows lack labels.
    """
    if isinstance(data, SystemPairs):
        return tuple(data.systems)
    return ("no", "yes") if isinstance(data, RewardedOutputs) else check_labels(rows_of(data))


def check(data: Any) -> None:
    """Refuse a reward that there is not."""
    if isinstance(data, RewardedOutputs):
        text_scorers({"reward": data.reward})


def samples_of(data: Any, adapter: Adapter) -> Labelled:
    """What directions are found in.

    `data`: rows, or prompts that the model answers.

    Raises:
        DataError: Nearly all outputs of the model earn the reward, or nearly none.
    """
    if isinstance(data, LabelledRows):
        return labelled(rows_of(data), adapter)
    return _under_systems(data, adapter) if isinstance(data, SystemPairs) else _rewarded(data, adapter)


def sampling_of(how: Generate) -> Sampling:
    """Sampling as adapters take it."""
    return Sampling(**how.model_dump(exclude={"batch"}))


def _under_systems(data: SystemPairs, adapter: Adapter) -> Labelled:
    rows = rows_of(data.prompts)
    asked = [
        (label, row, replace(row.sample(adapter), id=f"{row.id}/{label}", prompt=_with_system(row, system)))
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
    seeds = [seed_of(seed, at) for at in range(len(asked))]
    return [
        one
        for start in starts
        for one in adapter.generate(
            asked[start : start + how.batch], sampling_of(how), seeds[start : start + how.batch]
        )
    ]
