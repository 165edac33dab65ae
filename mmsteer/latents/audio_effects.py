"""What evaluators read in the clips of a steered model: the wanted label, what it cost, and what a feature changes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from mmsteer.adapters import AnyAdapter
from mmsteer.eval.adherence import adherence
from mmsteer.eval.attributes import ATTRIBUTES, Clip, read_labels
from mmsteer.latents.controls import at_maximum
from mmsteer.latents.rows import BATCH
from mmsteer.latents.trials import sampled
from mmsteer.sae import SparseDictionary, Usage
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.tasks import Row
from mmsteer.types import Direction, Sample, Sampling, Score, mean_score

PLAIN_PROMPT = "music"
"""Names nothing that an evaluator reads."""


@dataclass(frozen=True)
class LabelEffect:
    """What is made under one steering.

    `hit`: share of the clips that have it; clips in which it cannot be read are unscored.
    `adherence`: mean share of the other attributes of the prompts that the clips have.
    """

    condition: str
    concept: str
    label: str
    hit: Score
    adherence: Score


@dataclass(frozen=True)
class ClipChange:
    """What steering a feature changes in clips, by the evaluators; each beside the same prompts unsteered.

    Attributes:
        feature: The feature.
        factor: Strength, in its largest activations.
        notes: The pitch class whose share of the sounding time grew most, and by how much; None if nothing sounds.
        register: Change of the median MIDI note, in semitones; None as above.
        tempo: Change of the tempo in beats a minute; None where it cannot be read.
        instruments: The most frequent instrument, before and after.
    """

    feature: int
    factor: float
    notes: tuple[str, float] | None
    register: float | None
    tempo: float | None
    instruments: tuple[str | None, str | None]


def make_clips(
    adapter: AnyAdapter,
    prompts: Sequence[Sample],
    sampling: Sampling,
    steering: Steering | None = None,
    *,
    seed: int = 0,
) -> list[Clip]:
    """Clips of some prompts; the same prompt draws the same noise under every steering.

    `steering`: what is applied; nothing where it is left out.
    """
    generate, size, rate = sampled(adapter, sampling, seed=seed), BATCH["audio"], adapter.sample_rate
    assert rate is not None
    with steer(adapter, steering or Steering()):
        return [
            Clip(one.output, rate)
            for start in range(0, len(prompts), size)
            for one in generate(prompts[start : start + size])
        ]


def on_prompt_branch(direction: Direction, strength: float) -> Steering:
    """A direction added everywhere on the conditional branch, which guidance then amplifies.

    `strength`: share of the typical norm of a state.
    """
    return Steering((Attribute(direction, strength, branch="conditional"),))


def label_effect(
    adapter: AnyAdapter,
    rows: Sequence[Row],
    sampling: Sampling,
    concept: str,
    label: str,
    condition: str,
    steering: Steering | None,
    *,
    seed: int = 0,
) -> LabelEffect:
    """How often clips have a label under a steering, and what it cost.

    Args:
        adapter: The model.
        rows: Rows with prompts, and the attributes that these name.
        sampling: How clips are sampled.
        concept: One of `eval.attributes.ATTRIBUTES`.
        label: What clips should have.
        condition: Name of the steering.
        steering: What is applied; None for nothing.
        seed: Of the noise.
    """
    clips = make_clips(adapter, [row.sample(adapter) for row in rows], sampling, steering, seed=seed)
    named = [{name: row.attributes[name] for name in row.attributes if name in ATTRIBUTES} for row in rows]
    read = [read_labels(clip, {concept, *others}) for clip, others in zip(clips, named, strict=True)]
    hits = [None if one[concept] is None else float(one[concept] == label) for one in read]
    others = [{name: one[name] for name in one if name != concept} for one in named]
    kept = [adherence(wanted, one) for wanted, one in zip(others, read, strict=True)]
    return LabelEffect(condition, concept, label, mean_score(hits), mean_score(kept))


def clip_changes(
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    features: Sequence[int],
    used: Usage,
    sampling: Sampling,
    *,
    factor: float = 1.0,
    n: int = 8,
    seed: int = 0,
) -> list[ClipChange]:
    """Steer features, h + factor · maximum · row, under a prompt that names nothing, and read what changed.

    `features`: which features, such as those that a detector rests on.
    `used`: how they are used; it has their largest activations.

    Source: Kuznetsov et al. 2025, arXiv:2503.03601, who let a language model describe the changes.
    """
    prompts = [Sample(f"clip-{seed}-{index}", PLAIN_PROMPT) for index in range(n)]

    def read(steering: Steering | None) -> list[_Readings]:
        return [_readings(clip) for clip in make_clips(adapter, prompts, sampling, steering, seed=seed)]

    before = read(None)
    found = []
    for feature in features:
        added = replace(at_maximum(dictionary, feature, used, factor), branch="conditional")
        found.append(_change(feature, factor, before, read(Steering((added,)))))
    return found


@dataclass(frozen=True)
class _Readings:
    """What the evaluators read in one clip; None where they cannot."""

    share: Mapping[str, float] | None
    midi: float | None
    bpm: float | None
    instrument: str | None


def _readings(clip: Clip) -> _Readings:
    read = clip.read(("notes", "register", "tempo", "instrument"))
    return _Readings(
        read["notes"]["share"], read["register"]["midi"], read["tempo"]["bpm"], read["instrument"]["instrument"]
    )


def _change(feature: int, factor: float, before: Sequence[_Readings], after: Sequence[_Readings]) -> ClipChange:
    shares = [[one.share for one in side if one.share is not None] for side in (before, after)]
    notes = None
    if all(shares):
        means = [{name: fmean(one[name] for one in side) for name in side[0]} for side in shares]
        grown = {name: means[1][name] - means[0][name] for name in means[0]}
        most = max(grown, key=lambda name: grown[name])
        notes = (most, grown[most])
    register = _difference([one.midi for one in before], [one.midi for one in after])
    tempo = _difference([one.bpm for one in before], [one.bpm for one in after])
    common = [Counter(one.instrument for one in side if one.instrument).most_common(1) for side in (before, after)]
    first, second = (side[0][0] if side else None for side in common)
    return ClipChange(feature, factor, notes, register, tempo, (first, second))


def _difference(before: Sequence[float | None], after: Sequence[float | None]) -> float | None:
    one, two = ([value for value in side if value is not None] for side in (before, after))
    return median(two) - median(one) if one and two else None
