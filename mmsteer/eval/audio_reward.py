"""Rewards of clips by name, in the grammar of those of text: `note:C`, `instrument`, `melody:C 1s`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mmsteer.errors import DataError, EvalError, clip
from mmsteer.eval.attributes import ATTRIBUTES, Clip, Reading
from mmsteer.eval.text import Reference
from mmsteer.eval.tunes import check_chords, chord_overlap, melody_accuracy
from mmsteer.types.metric import Metric
from mmsteer.types.tune import Tune

VOICED = "voiced"
MELODY = "melody"
TUNES = (MELODY, "chords")
"""How well a tune is followed."""
Rate = Callable[[Mapping[str, Reading], Reference], float | None]


@dataclass(frozen=True)
class AudioReward:
    """A number in [0, 1] for a clip, from what an evaluator reads in it; None where it cannot be read.

    Attributes:
        name: As it is written in a recipe or on the command line, such as `note:C`.
        metric: What its mean over clips is.
        evaluator: Which of `EVALUATORS` it rests on.
        rate: From readings and the truth to the number.
        needs: `attributes` where a reference must have them; None for nothing.
    """

    name: str
    metric: Metric
    evaluator: str
    rate: Rate
    needs: Literal["attributes"] | None = None

    def __call__(self, clips: Sequence[Clip], references: Sequence[Reference]) -> list[float | None]:
        """One number a clip.

        Raises:
            EvalError: The lists differ in length.
        """
        if len(clips) != len(references):
            raise EvalError(f"{self.name}: {len(clips)} clips and {len(references)} references; give one each")
        read = [clip.read([self.evaluator]) for clip in clips]
        return [self.rate(one, reference) for one, reference in zip(read, references, strict=True)]


def parse_audio_reward(text: str) -> AudioReward:
    """Read a reward of clips.

    Args:
        text: `note:C`, `not tempo:fast`, `voiced`, `instrument`, which takes the row's attribute, or how well a tune is
            followed: `melody:C4 0.5s, E4 0.5s` or `chords:C:maj 1s, A:min 1s`.

    Raises:
        EvalError: There is no such reward, or the tune cannot be read.

    >>> reward = parse_audio_reward("not note:C")
    >>> reward.rate({"notes": {"main_note": "C"}}, Reference("")), reward.evaluator
    (0.0, 'notes')
    """
    plain = text.strip().removeprefix("not ").strip()
    found = (
        _voiced() if plain == VOICED else _of_tune(plain) if plain.partition(":")[0] in TUNES else _of_attribute(plain)
    )
    if plain == text.strip():
        return found
    better: Mapping[str | None, Literal["higher", "lower"]] = {"higher": "lower", "lower": "higher"}
    metric = Metric(text.strip(), f"1 minus: {found.metric.meaning}", better.get(found.metric.better), "share")
    return AudioReward(text.strip(), metric, found.evaluator, _negated(found.rate), found.needs)


def _voiced() -> AudioReward:
    metric = Metric(VOICED, "Share of frames in which a pitch sounds.", None, "share")
    return AudioReward(VOICED, metric, "notes", lambda readings, _: readings["notes"]["voiced"])


def _of_tune(name: str) -> AudioReward:
    kind, _, text = name.partition(":")
    try:
        tune = Tune.parse(text)
    except DataError as cause:
        raise EvalError(f"{clip(name)}: {cause}") from None
    if kind == MELODY:
        metric = Metric(name, "Share of the tune's time in which its pitch class is the strongest.", "higher", "share")
        return AudioReward(name, metric, "notes", lambda readings, _: melody_accuracy(tune, readings["notes"]["trace"]))
    check_chords(tune)
    metric = Metric(name, "Share of the progression's time in which its triad sounds.", "higher", "share")
    return AudioReward(name, metric, "chords", lambda readings, _: chord_overlap(tune, readings["chords"]["trace"]))


def _of_attribute(name: str) -> AudioReward:
    attribute, colon, label = name.partition(":")
    if attribute not in ATTRIBUTES or (colon and label not in ATTRIBUTES[attribute].labels):
        choice = ", ".join(f"{one}:{known.labels[0]}" for one, known in ATTRIBUTES.items())
        raise EvalError(
            f"no reward {name!r} of audio; write such as {choice}, {VOICED}, {MELODY}:C 1s, or not and one of them"
        )
    known = ATTRIBUTES[attribute]
    chance = 1 / len(known.labels)

    def rate(readings: Mapping[str, Reading], reference: Reference) -> float | None:
        wanted = label if colon else reference.attributes.get(attribute)
        found = known.label(readings)
        return None if wanted is None or found is None else float(found == wanted)

    meaning = f"Share of clips whose {attribute} is {label if colon else 'the one that their row names'}."
    return AudioReward(
        name, Metric(name, meaning, "higher", "share", chance), known.evaluator, rate, None if colon else "attributes"
    )


def _negated(rate: Rate) -> Rate:
    def other(readings: Mapping[str, Reading], reference: Reference) -> float | None:
        value = rate(readings, reference)
        return None if value is None else 1 - value

    return other
