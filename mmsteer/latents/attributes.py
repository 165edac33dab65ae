"""Features that go with an attribute of music: note, register, tempo or instrument of a clip; detected, and steered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.adapters import MusicgenAdapter
from mmsteer.errors import DictionaryError
from mmsteer.latents.controls import random_features
from mmsteer.latents.detection import Detection, compare_detectors
from mmsteer.latents.listening import BATCH, HEARD, Heard, listen, pushed
from mmsteer.latents.pooling import pooled
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import encode
from mmsteer.record import record
from mmsteer.sae import SparseDictionary, Usage, feature_direction, select
from mmsteer.types import Direction, Positions, Sample, random_direction
from mmsteer.worlds.music.concepts import LabelledClip, concept_clips
from mmsteer.worlds.music.world import render_clip

EVERYWHERE = Positions("all")


@dataclass(frozen=True, eq=False)
class Clips:
    """Rendered clips of a concept, as a dictionary and the model itself see them.

    Attributes:
        concept: One of `CONCEPTS`.
        z: Activations pooled over the tokens of each clip, (n, features).
        states: Mean hidden states of the same clips, (n, width).
        labels: One a clip.
        groups: The source of each clip.
        used: How the features are used.
    """

    concept: str
    z: Tensor
    states: Tensor
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    used: Usage

    def members(self, label: str) -> Tensor:
        """Which clips have a label, (n,) bool.

        Args:
            label: The label.

        Raises:
            DictionaryError: None has.
        """
        found = torch.tensor([one == label for one in self.labels])
        if not found.any():
            raise DictionaryError(f"no clip of {self.concept} {label!r}; choose from {sorted(set(self.labels))}")
        return found


def read_clips(
    adapter: MusicgenAdapter,
    dictionary: SparseDictionary,
    concept: str,
    *,
    per_label: int = 24,
    pool: str = "mean",
    seed: int = 0,
) -> Clips:
    """Render clips of every label of a concept and read them on the null branch, where no text gives the label away.

    Args:
        adapter: The model.
        dictionary: A dictionary that fits it.
        concept: One of `CONCEPTS`.
        per_label: Clips of each label.
        pool: How a clip's activations become one: `sum`, `mean`, `max` or `count`.
        seed: Seed of the clips.
    """
    clips = concept_clips(concept, per_label, seed)
    samples = [Sample(f"{concept}-{index}", output=render_clip(one.clip)) for index, one in enumerate(clips)]
    read = pooled(adapter, dictionary, samples, positions=EVERYWHERE, pool=pool, batch=BATCH)
    site = dictionary.located(adapter)
    states = record(adapter, samples, [site], positions=EVERYWHERE, pool="mean", batch=BATCH).values[site]
    return Clips(concept, read.z, states, _of(clips, "label"), _of(clips, "group"), read.used)


def detect_attribute(
    clips: Clips, label: str, *, names: Sequence[str] = ("single", "logistic", "trees"), seed: int = 0
) -> list[Detection]:
    """Tell clips of one label from the others; no source of a clip is on both sides of the split.

    Args:
        clips: The clips.
        label: The label.
        names: Which of `DETECTORS`.
        seed: Seed of split, detectors and intervals.
    """
    y = clips.members(label)
    split = split_by_source(encode(y.long(), "binary"), clips.groups, seed)
    train, test = split.fitting, split.test
    return compare_detectors(
        (clips.z[train], clips.z[test]),
        (clips.states[train], clips.states[test]),
        y[train],
        y[test],
        names=names,
        seed=seed,
    )


def label_feature(dictionary: SparseDictionary, clips: Clips, label: str, *, how: str = "auroc") -> Direction:
    """The feature that goes with a label most.

    Args:
        dictionary: The dictionary that the clips were read with.
        clips: The clips.
        label: The label.
        how: A name of `SELECTORS`.
    """
    (feature,) = select(clips.z, clips.members(label), how, 1)
    return feature_direction(dictionary, feature, clips.used, f"{clips.concept}:{label}")


def random_feature(dictionary: SparseDictionary, used: Usage, seed: int, without: Sequence[int] = ()) -> Direction:
    """A feature drawn from those that are ever active: the control.

    Args:
        dictionary: The dictionary.
        used: How the features are used.
        seed: Seed of the draw.
        without: Features that are left out.
    """
    (feature,) = random_features(used, 1, without=without, seed=seed)
    return feature_direction(dictionary, feature, used, f"random:{feature}")


def steer_attributes(
    adapter: MusicgenAdapter,
    dictionary: SparseDictionary,
    clips: Clips,
    labels: Sequence[str],
    *,
    how: str = "mean_difference",
    strengths: Sequence[float] = (0.1, 0.2, 0.4),
    n: int = 8,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> list[Heard]:
    """Steer each label's feature, unsteered model and a random feature beside it, at a strength chosen elsewhere.

    Args:
        adapter: The model.
        dictionary: The dictionary.
        clips: Rendered clips of the concept, from which features are chosen.
        labels: Which labels.
        how: A name of `SELECTORS`.
        strengths: Shares of the typical norm; the one with the most hits on other prompts is taken.
        n: Prompts to report on; half as many serve to choose.
        seed: Of prompts, noise and control.
        say: Told what is being done.

    Raises:
        DictionaryError: The concept cannot be judged from the audio.
    """
    concept = clips.concept
    if concept not in HEARD:
        raise DictionaryError(f"{concept!r} is not judged from the audio; choose from {', '.join(HEARD)}")
    rows = []
    for label in labels:
        direction = label_feature(dictionary, clips, label, how=how)
        feature = int(direction.provenance["feature"])
        say(f"{concept}:{label}, feature {feature}: choosing among {len(strengths)} strengths, then {n} prompts")
        tried = {
            one: listen(adapter, concept, label, "", pushed(direction, one), n=n // 2, seed=seed + 1).hit.value or 0
            for one in strengths
        }
        strength = max(tried, key=lambda one: tried[one])
        control = random_feature(dictionary, clips.used, seed, without=[feature])
        told = {
            "unsteered": None,
            f"feature {feature} at {strength:g}": pushed(direction, strength),
            f"random feature at {strength:g}": pushed(control, strength),
            f"random direction at {strength:g}": pushed(random_direction(direction, seed), strength),
        }
        rows += [listen(adapter, concept, label, name, how, n=n, seed=seed) for name, how in told.items()]
    return rows


def _of(clips: Sequence[LabelledClip], name: str) -> tuple[str, ...]:
    return tuple(getattr(one, name) for one in clips)
