"""Features that go with an attribute of music: note, register, tempo or instrument of a clip; detected, and steered.

    python -m mmsteer.latents.attributes [--detect] [--concepts note,tempo,instrument] [--dictionary FOLDER]

steers the bundled music model by one feature a label and prints how many clips play what was asked for, judged from
the audio, beside the unsteered model and a random feature as strong; with `--detect` it prints how well single
features, lines and trees tell the labels of rendered clips apart, beside probes of the hidden states, and what steering
the best features changes.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.adapters import MusicgenAdapter, load
from mmsteer.bundled import bundled_dictionary, bundled_path
from mmsteer.data.concepts import LabelledClip, concept_clips
from mmsteer.data.world import render_clip
from mmsteer.errors import DictionaryError
from mmsteer.latents.controls import random_features
from mmsteer.latents.detection import Detection, compare_detectors
from mmsteer.latents.listening import BATCH, HEARD, Heard, listen, meanings, pushed
from mmsteer.latents.pooling import pooled
from mmsteer.latents.shown import detection_row, show
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import encode
from mmsteer.record import record
from mmsteer.sae import SparseDictionary, Usage, feature_direction, read_dictionary, select
from mmsteer.types import Direction, Positions, Sample

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
    samples = [Sample(f"{concept}-{index}", render_clip(one.clip)) for index, one in enumerate(clips)]
    read = pooled(adapter, dictionary, samples, positions=EVERYWHERE, pool=pool, batch=BATCH)
    site = dictionary.located(adapter.widths, adapter.fingerprint)
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
    strengths: Sequence[float] = (0.1, 0.2, 0.4),
    n: int = 8,
    seed: int = 0,
) -> list[Heard]:
    """Steer each label's feature, unsteered model and a random feature beside it, at a strength chosen elsewhere.

    Args:
        adapter: The model.
        dictionary: The dictionary.
        clips: Rendered clips of the concept, from which features are chosen.
        labels: Which labels.
        strengths: Shares of the typical norm; the one with the most hits on other prompts is taken.
        n: Prompts to report on; half as many serve to choose.
        seed: Of prompts, noise and control.

    Raises:
        DictionaryError: The concept cannot be judged from the audio.
    """
    concept = clips.concept
    if concept not in HEARD:
        raise DictionaryError(f"{concept!r} is not judged from the audio; choose from {', '.join(HEARD)}")
    rows = []
    for label in labels:
        direction = label_feature(dictionary, clips, label)
        feature = int(direction.provenance["feature"])
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
        }
        rows += [listen(adapter, concept, label, name, how, n=n, seed=seed) for name, how in told.items()]
    return rows


def _of(clips: Sequence[LabelledClip], name: str) -> tuple[str, ...]:
    return tuple(getattr(one, name) for one in clips)


def main() -> None:
    """Find, steer and report on the bundled model; see the module's docstring."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--concepts", default="note,tempo,instrument")
    parser.add_argument("--labels", type=int, default=2, help="labels of each concept, from the first on")
    parser.add_argument("--dictionary", help="if not the bundled one")
    parser.add_argument("--clips", type=int, default=16, help="rendered clips of each label")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--detect", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    adapter = load(bundled_path("music"))
    assert isinstance(adapter, MusicgenAdapter)
    dictionary = read_dictionary(asked.dictionary) if asked.dictionary else bundled_dictionary("music")
    for concept in asked.concepts.split(","):
        clips = read_clips(adapter, dictionary, concept, per_label=asked.clips, seed=asked.seed)
        labels = list(dict.fromkeys(clips.labels))[: asked.labels]
        if asked.detect:
            _detect(adapter, dictionary, clips, labels)
        else:
            heard = steer_attributes(adapter, dictionary, clips, labels, n=asked.prompts, seed=asked.seed)
            show(f"{concept}, steered by one feature", [vars(one) for one in heard])


def _detect(adapter: MusicgenAdapter, dictionary: SparseDictionary, clips: Clips, labels: Sequence[str]) -> None:
    for label in labels:
        rows = detect_attribute(clips, label)
        show(f"{clips.concept}: {label} told from the others", [detection_row(one) for one in rows])
        features = list(dict.fromkeys(row.features[0] for row in rows if row.features))
        told = meanings(adapter, dictionary, features, clips.used)
        show("What steering these features changes", [vars(one) for one in told])


if __name__ == "__main__":
    main()
