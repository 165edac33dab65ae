"""Rows as what methods take: parts that share no source, trials with a reward, pairs, and samples with outputs."""

import random
from collections.abc import Sequence
from dataclasses import replace

from mmsteer.adapters import AnyAdapter
from mmsteer.errors import DataError
from mmsteer.eval.rewards import OutputReward, rate_outputs
from mmsteer.latents.trials import Generate, Trials, sampled
from mmsteer.tasks import Row, sources_of
from mmsteer.types import Adapter, Sample, Sampling

ARCHETYPE = "archetype"
"""Label of a row whose output shows what is wanted."""
TRAIN, VALIDATION, TEST = "train", "validation", "test"
BATCH = {"text": 8, "audio": 16}


def halves(rows: Sequence[Row], seed: int = 0) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Rows to learn from and rows to test on; rows of one source stay together.

    Rows with the split `test` are the test where there are any; otherwise half of the sources, at random, are.

    Raises:
        DataError: One of the halves has no row.
    """
    learned, test = parts(rows, (TRAIN, TEST), seed)
    return learned, test


def parts(rows: Sequence[Row], names: Sequence[str], seed: int = 0) -> tuple[tuple[Row, ...], ...]:
    """Rows by their split; rows of a split that is not named are of the first part.

    Where no row has one of the other splits, sources are dealt to the parts at random, as many to each.

    Raises:
        DataError: A part has no row.
    """
    of = {row.id: row.split if row.split in names else names[0] for row in rows}
    if not set(of.values()) & set(names[1:]):
        sources = dict(zip((row.id for row in rows), sources_of(rows), strict=True))
        groups = sorted(set(sources.values()))
        random.Random(seed).shuffle(groups)
        part = {group: names[at * len(names) // len(groups)] for at, group in enumerate(groups)}
        of = {name: part[source] for name, source in sources.items()}
    found = tuple(tuple(row for row in rows if of[row.id] == name) for name in names)
    if not all(found):
        counts = ", ".join(f"{len(some)} of {name}" for name, some in zip(names, found, strict=True))
        raise DataError(
            f"the rows make these parts: {counts}; give {len(names)} groups of rows or more, or rows with each of the "
            f"splits {', '.join(names)}"
        )
    return found


def check_truth(reward: OutputReward | None, rows: Sequence[Row]) -> None:
    """Refuse rows of which none has what a reward compares with.

    `reward`: the reward; None where nothing is judged.

    Raises:
        DataError: None has.
    """
    if reward and reward.needs and rows and not any(_serves(row, reward) for row in rows):
        raise DataError(
            f"{rows[0].place}: the reward {reward.name} compares with {reward.needs!r}, and no row has it; add it to "
            "the rows, or give another reward"
        )


def row_trials(
    name: str, rows: Sequence[Row], adapter: AnyAdapter, sampling: Sampling, reward: OutputReward, *, seed: int = 0
) -> Trials:
    """Rows to generate from, judged by a reward.

    `rows`: the rows; their truth is what the reward compares with.
    `reward`: a reward of what the model puts out.

    Raises:
        DataError: No row has a prompt, or what the reward compares with.
    """
    rows = prompted(rows)
    check_truth(reward, rows)
    references = {row.id: row.reference for row in rows}
    rate = adapter.sample_rate

    def judged(sample: Sample) -> float | None:
        return rate_outputs(reward, [sample.output], [references[sample.id]], rate)[0]

    prompts = tuple(row.sample(adapter) for row in rows)
    generate = sampled(adapter, sampling, seed=seed)
    return Trials(name, prompts, generate, judged, BATCH[adapter.output_kind])


def prompted(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows that have a prompt to generate from; a clip may have none.

    Raises:
        DataError: No row has one.
    """
    found = tuple(row for row in rows if row.prompt is not None)
    if not found:
        raise DataError(f"none of {len(rows)} rows has a prompt to generate from; add rows with prompts")
    return found


def row_pairs(rows: Sequence[Row], positive: str) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Rows of a label and the other rows, the k-th of one beside the k-th of the other; pairs share a group.

    Raises:
        DataError: Labels are missing, or a row has no partner.
    """
    check_label(rows, positive)
    # A stable order: rows of one group stand together, and those without keep the order of the file.
    ordered = sorted(rows, key=lambda row: row.group or "")
    first = tuple(row for row in ordered if row.label == positive)
    second = tuple(row for row in ordered if row.label != positive)
    if [row.group for row in first] != [row.group for row in second]:
        raise DataError(
            f"{len(first)} rows with the label {positive!r} and {len(second)} others make no pairs; give each content "
            "one row of either label, of the same group"
        )
    return first, second


def paired_halves(
    rows: Sequence[Row], positive: str, seed: int = 0
) -> tuple[tuple[tuple[Row, ...], tuple[Row, ...]], tuple[Row, ...]]:
    """Pairs to learn from, as `row_pairs` gives them, and rows of the other label to test on; pairs stay whole."""
    if not any(row.split == TEST for row in rows):
        pairs = enumerate(zip(*row_pairs(rows, positive), strict=True))
        rows = [replace(row, group=str(at)) for at, pair in pairs for row in pair]
    learned, test = halves(rows, seed)
    return row_pairs(learned, positive), tuple(row for row in test if row.label != positive)


def check_label(rows: Sequence[Row], positive: str) -> None:
    """Refuse rows without labels, or of which none or all have the label.

    Raises:
        DataError: A label is missing.
    """
    known = sorted({row.label for row in rows if row.label is not None})
    if without := [row for row in rows if row.label is None]:
        raise DataError(f"{without[0].place}: the row has no label, and {len(without)} rows have none; label all rows")
    if positive not in known or len(known) < 2:
        raise DataError(f"the labels are {', '.join(known)}; give {positive!r} and another one, or another --label")


def with_outputs(rows: Sequence[Row], adapter: Adapter, generate: Generate) -> tuple[Sample, ...]:
    """Rows with their outputs; the model makes those that are missing."""
    given = [row.sample(adapter, answered=has_output(row, adapter)) for row in rows]
    silent, size = [one for one in given if one.output is None], BATCH[adapter.output_kind]
    made = (one for start in range(0, len(silent), size) for one in generate(silent[start : start + size]))
    return tuple(next(made) if one.output is None else one for one in given)


def has_output(row: Row, adapter: Adapter) -> bool:
    """Whether a row has what the model is taken to have put out."""
    return row.audio is not None or (adapter.output_kind == "text" and bool(row.answer))


def _serves(row: Row, reward: OutputReward) -> bool:
    if reward.needs == "attributes":
        return reward.name.removeprefix("not ").strip() in row.attributes
    return getattr(row, str(reward.needs)) not in (None, ())
