"""Rows of one's own data as what methods take: trials, pairs, material, labelled activations and rollouts."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmsteer.adapters import AnyAdapter
from mmsteer.errors import DataError
from mmsteer.eval.text import Reward
from mmsteer.latents.attributes import EVERYWHERE, Clips
from mmsteer.latents.effect_meters import feature_meter
from mmsteer.latents.material import Material, word_shares, words_of
from mmsteer.latents.pooling import pooled
from mmsteer.latents.trials import Trials, sampled
from mmsteer.latents.wanted_effect import TESTED, Bench
from mmsteer.record import record
from mmsteer.sae import SparseDictionary
from mmsteer.tasks import Row, sources_of
from mmsteer.types import Adapter, Sample, Sampling

ARCHETYPE = "archetype"
"""Label of a row whose answer shows what is wanted."""
TEST = "test"
CONTEXTS, CONTEXT_WORDS = 8, 4
PROMOTED = 5


def halves(rows: Sequence[Row], seed: int = 0) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Rows to learn from and rows to test on; rows of one source stay together.

    Rows with the split `test` are the test where there are any; otherwise half of the sources, at random, are.

    Args:
        rows: The rows.
        seed: Of the draw.

    Raises:
        DataError: One of the halves has no row.
    """
    tested = {row.id for row in rows if row.split == TEST}
    if not tested:
        sources = dict(zip((row.id for row in rows), sources_of(rows), strict=True))
        groups = sorted(set(sources.values()))
        random.Random(seed).shuffle(groups)
        chosen = set(groups[len(groups) // 2 :])
        tested = {name for name, source in sources.items() if source in chosen}
    learned = tuple(row for row in rows if row.id not in tested)
    test = tuple(row for row in rows if row.id in tested)
    if not (learned and test):
        raise DataError(
            f"{len(learned)} rows to learn from and {len(test)} to test on; give two groups of rows or more, or rows "
            f"with the split {TEST!r} beside others"
        )
    return learned, test


def row_trials(
    name: str, rows: Sequence[Row], adapter: Adapter, sampling: Sampling, reward: Reward, *, seed: int = 0
) -> Trials:
    """Rows to be answered, judged by a reward of text.

    Args:
        name: Of the trials.
        rows: The rows; their answers are what the reward compares with.
        adapter: The model, which makes text.
        sampling: How it is sampled.
        reward: The reward.
        seed: Of the sampling.

    Raises:
        DataError: The model makes no text, or there is no row.
    """
    if adapter.output_kind != "text":
        raise DataError(f"the reward {reward.name} reads text, and this model makes {adapter.output_kind}")
    if not rows:
        raise DataError(f"{name}: there are no rows to answer")
    references = {row.id: row.reference for row in rows}

    def judged(sample: Sample) -> float | None:
        return reward([sample.output or ""], [references[sample.id]])[0]

    prompts = tuple(row.sample(adapter) for row in rows)
    return Trials(name, prompts, sampled(adapter, sampling, seed=seed), judged)


def row_pairs(rows: Sequence[Row], positive: str) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Rows of a label and the other rows, the k-th of one beside the k-th of the other; pairs share a group.

    Args:
        rows: Rows with two labels.
        positive: The label of the first side.

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


def check_label(rows: Sequence[Row], positive: str) -> None:
    """Refuse rows without labels, or of which none or all have the label.

    Args:
        rows: The rows.
        positive: The label.

    Raises:
        DataError: A label is missing.
    """
    known = sorted({row.label for row in rows if row.label is not None})
    if without := [row for row in rows if row.label is None]:
        raise DataError(f"{without[0].place}: the row has no label, and {len(without)} rows have none; label all rows")
    if positive not in known or len(known) < 2:
        raise DataError(f"the labels are {', '.join(known)}; give {positive!r} and another one, or another --label")


def row_material(rows: Sequence[Row], adapter: AnyAdapter, sampling: Sampling, *, prompts: int = 12) -> Material:
    """Rows with answers to look features up in, and prompts to steer; the model answers rows that have none.

    Args:
        rows: The rows.
        adapter: The model, which makes text.
        sampling: How it is sampled.
        prompts: Rows that are generated from, at most.

    Raises:
        DataError: The model makes no text.
    """
    if adapter.output_kind != "text":
        raise DataError(f"descriptions of features are words, and this model makes {adapter.output_kind}")
    generate = sampled(adapter, sampling)
    given = tuple(row.sample(adapter, answered=True) for row in rows)
    bare = [replace(one, output=None) for one in given]
    silent = [one for one, known in zip(bare, given, strict=True) if not known.output]
    made = iter(generate(silent) if silent else ())
    labelled = tuple(one if one.output else next(made) for one in given)
    contexts = tuple(
        replace(one, output=" ".join(str(one.output).split()[:CONTEXT_WORDS])) for one in labelled[-CONTEXTS:]
    )
    return Material(PROMOTED, contexts, labelled, tuple(bare[:prompts]), generate, words_of, word_shares)


def row_clips(adapter: AnyAdapter, dictionary: SparseDictionary, rows: Sequence[Row], *, pool: str = "mean") -> Clips:
    """Labelled rows read by a model, with their features and hidden states pooled over tokens.

    Args:
        adapter: The model.
        dictionary: A dictionary that knows its site.
        rows: Rows with labels.
        pool: How a row's activations become one.
    """
    samples = [row.sample(adapter, answered=True) for row in rows]
    read = pooled(adapter, dictionary, samples, positions=EVERYWHERE, pool=pool)
    site = dictionary.located(adapter)
    states = record(adapter, samples, [site], positions=EVERYWHERE, pool="mean").values[site]
    labels = tuple(str(row.label) for row in rows)
    return Clips("label", read.z, states, labels, tuple(sources_of(rows)), read.used)


def row_bench(
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    learned: Sequence[Row],
    test: Sequence[Row],
    sampling: Sampling,
    *,
    read: int = 16,
) -> Bench:
    """Rollouts of rows, read by the dictionary's own features: SAE-TS as published.

    Args:
        adapter: The model.
        dictionary: A dictionary that knows its site.
        learned: Rows that effects are measured on.
        test: Rows that vectors are tested on.
        sampling: How they are answered.
        read: Rows whose unsteered answers are the ground of vectors.
    """
    answer = sampled(adapter, sampling)
    asked, others = ([row.sample(adapter) for row in some] for some in (learned, test))

    def items(first: int, last: int) -> list[Sample]:
        return others[first - TESTED : last - TESTED] if first >= TESTED else asked[first:last]

    def make(some: Sequence[Sample]) -> Sequence[Any]:
        return [one.output for one in answer(some)]

    def read_again(item: Sample, output: Any) -> Sample:
        return replace(item, output=output)

    ground = tuple(answer(asked[:read]))
    meter = feature_meter(adapter, dictionary, read_again)
    return Bench(adapter, meter, ground, items, make, repr(sampling))
