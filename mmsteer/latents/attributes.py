"""Features that go with a label of rows, such as the note or the instrument of clips; detected, and steered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmsteer.adapters import AnyAdapter
from mmsteer.errors import DataError, DictionaryError
from mmsteer.eval.attributes import ATTRIBUTES
from mmsteer.latents.audio_effects import LabelEffect, label_effect, on_prompt_branch
from mmsteer.latents.controls import random_features
from mmsteer.latents.detection import Detection, compare_detectors
from mmsteer.latents.pooling import pooled
from mmsteer.latents.rows import BATCH
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import encode
from mmsteer.record import record
from mmsteer.sae import SparseDictionary, Usage, feature_direction, select
from mmsteer.tasks import Row, sources_of
from mmsteer.types import Direction, Positions, Sampling, random_direction

EVERYWHERE = Positions("all")


@dataclass(frozen=True, eq=False)
class LabelledActivations:
    """Labelled rows, as a dictionary and the model itself represent them.

    `z`: activations pooled over the tokens of each row, (n, features).
    `states`: mean hidden states of the same rows, (n, width).
    """

    concept: str
    z: Tensor
    states: Tensor
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    used: Usage

    def members(self, label: str) -> Tensor:
        """Which rows have a label, (n,) bool.

        Raises:
            DictionaryError: None has.
        """
        found = torch.tensor([one == label for one in self.labels])
        if not found.any():
            raise DictionaryError(f"no row of {self.concept} {label!r}; choose from {sorted(set(self.labels))}")
        return found


def labelled_by(rows: Sequence[Row], concept: str | None) -> tuple[Row, ...]:
    """Rows whose label is that of an attribute, or their own where their attributes do not have it.

    `concept`: the attribute; None for the rows' own labels.

    Raises:
        DataError: A row has no label.
    """
    found = tuple(replace(row, label=row.attributes.get(concept or "", row.label)) for row in rows)
    if bare := [row for row in found if row.label is None]:
        what = f"neither a label nor an attribute {concept!r}" if concept else "no label"
        raise DataError(f"{bare[0].place}: the row has {what}, and {len(bare)} rows have none; label all rows")
    return found


def read_labelled(
    adapter: AnyAdapter, dictionary: SparseDictionary, rows: Sequence[Row], concept: str, *, pool: str = "mean"
) -> LabelledActivations:
    """Read rows with their outputs; clips on the null branch, where no prompt gives the label away.

    `pool`: how a row's activations become one: `sum`, `mean`, `max` or `count`.
    """
    samples = [row.sample(adapter, answered=True) for row in rows]
    if adapter.output_kind == "audio":
        samples = [replace(one, prompt=None) for one in samples]
    batch, site = BATCH[adapter.output_kind], dictionary.located(adapter)
    read = pooled(adapter, dictionary, samples, positions=EVERYWHERE, pool=pool, batch=batch)
    states = record(adapter, samples, [site], positions=EVERYWHERE, pool="mean", batch=batch).values[site]
    labels = tuple(str(row.label) for row in rows)
    return LabelledActivations(concept, read.z, states, labels, tuple(sources_of(rows)), read.used)


def detect_label(
    found: LabelledActivations,
    label: str,
    *,
    names: Sequence[str] = ("single", "logistic", "trees"),
    seed: int = 0,
) -> list[Detection]:
    """Detect rows of one label among the others; no source is on both sides of the split.

    `names`: which of `DETECTORS`.
    """
    y = found.members(label)
    split = split_by_source(encode(y.long(), "binary"), found.groups, seed)
    train, test = split.fitting, split.test
    return compare_detectors(
        (found.z[train], found.z[test]),
        (found.states[train], found.states[test]),
        y[train],
        y[test],
        names=names,
        seed=seed,
    )


def label_feature(
    dictionary: SparseDictionary, found: LabelledActivations, label: str, *, how: str = "auroc"
) -> Direction:
    """The feature that goes with a label most.

    `dictionary`: the dictionary that the rows were read with.
    `how`: a name of `SELECTORS`.
    """
    (feature,) = select(found.z, found.members(label), how, 1)
    return feature_direction(dictionary, feature, found.used, f"{found.concept}:{label}")


def random_feature(dictionary: SparseDictionary, used: Usage, seed: int, without: Sequence[int] = ()) -> Direction:
    """A feature drawn from those that are ever active: the control."""
    (feature,) = random_features(used, 1, without=without, seed=seed)
    return feature_direction(dictionary, feature, used, f"random:{feature}")


def check_audible(concept: str, labels: Sequence[str] = ()) -> None:
    """Refuse an attribute, or labels of it, that no evaluator reads from audio.

    Raises:
        DataError: None does.
    """
    if concept not in ATTRIBUTES:
        raise DataError(f"{concept!r} is not read from audio; give --concept, one of {', '.join(ATTRIBUTES)}")
    if unknown := [one for one in labels if one not in ATTRIBUTES[concept].labels]:
        known = ", ".join(ATTRIBUTES[concept].labels)
        raise DataError(f"the {concept} {unknown[0]!r} is not read from audio; the evaluator knows {known}")


def steer_labels(
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    found: LabelledActivations,
    labels: Sequence[str],
    prompts: tuple[Sequence[Row], Sequence[Row]],
    sampling: Sampling,
    *,
    how: str = "mean_difference",
    strengths: Sequence[float] = (0.1, 0.2, 0.4),
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> list[LabelEffect]:
    """Steer each label's feature, unsteered model and a random feature beside it, at a strength chosen elsewhere.

    Args:
        adapter: The model, which makes audio.
        dictionary: The dictionary.
        found: Labelled clips, from which features are chosen; their concept can be read from audio.
        labels: Which labels.
        prompts: Rows to choose the strength on, and rows to report on.
        sampling: How clips are sampled.
        how: A name of `SELECTORS`.
        strengths: Shares of the typical norm; the one with the most hits on other prompts is taken.
        seed: Of noise and control.
        say: Called with the progress, in words.
    """
    concept, (choose, report) = found.concept, prompts
    rows = []
    for label in labels:
        direction = label_feature(dictionary, found, label, how=how)
        feature = int(direction.provenance["feature"])
        say(f"{concept}:{label}, feature {feature}: {len(strengths)} strengths to choose from, {len(report)} prompts")
        tried = {
            one: label_effect(
                adapter, choose, sampling, concept, label, "", on_prompt_branch(direction, one), seed=seed + 1
            ).hit.value
            or 0
            for one in strengths
        }
        strength = max(tried, key=lambda one: tried[one])
        control = random_feature(dictionary, found.used, seed, without=[feature])
        conditions = {
            "unsteered": None,
            f"feature {feature} at {strength:g}": on_prompt_branch(direction, strength),
            f"random feature at {strength:g}": on_prompt_branch(control, strength),
            f"random direction at {strength:g}": on_prompt_branch(random_direction(direction, seed), strength),
        }
        rows += [
            label_effect(adapter, report, sampling, concept, label, name, steering, seed=seed)
            for name, steering in conditions.items()
        ]
    return rows
