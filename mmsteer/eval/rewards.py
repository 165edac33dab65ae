"""Rewards of whatever a model puts out, by name."""

from collections.abc import Sequence
from typing import Any, Literal

from mmsteer.errors import EvalError
from mmsteer.eval.attributes import ATTRIBUTES, Clip
from mmsteer.eval.audio_reward import TUNES, VOICED, AudioReward, parse_audio_reward
from mmsteer.eval.text import REWARDS, NamedReward, Reference, parse_reward

OutputReward = NamedReward | AudioReward
OutputKind = Literal["text", "audio"]


def parse_output_reward(text: str, output_kind: OutputKind | None = None) -> OutputReward:
    """Read a reward, such as `contains:Arr` or `grounded` of text, or `note:C` of audio.

    `output_kind`: what the model puts out; None where that is not known yet.

    Raises:
        EvalError: There is no such reward, or it reads the other kind of output.
    """
    name = text.strip().removeprefix("not ").strip().partition(":")[0]
    kinds: dict[OutputKind, bool] = {"text": name in REWARDS, "audio": name in (*ATTRIBUTES, VOICED, *TUNES)}
    reads = next((kind for kind, known in kinds.items() if known), output_kind)
    if reads is None:
        known = ", ".join([*(kind.usage for kind in REWARDS.values()), *ATTRIBUTES, VOICED, *TUNES])
        raise EvalError(f"no reward {text!r}; write such as contains:Arr of text, or note:C of audio: {known}")
    if output_kind is not None and reads != output_kind:
        example = {"text": "contains:Arr", "audio": "note:C"}[output_kind]
        raise EvalError(
            f"the reward {text!r} reads {reads}, and this model makes {output_kind}; write such as {example}"
        )
    return parse_reward(text) if reads == "text" else parse_audio_reward(text)


def rate_outputs(
    reward: OutputReward, outputs: Sequence[Any], references: Sequence[Reference], sample_rate: int | None = None
) -> list[float | None]:
    """One number an output.

    `outputs`: texts, or audio, (samples,) each; None where the model has put out nothing.
    `sample_rate`: of the audio, in Hz.
    """
    if isinstance(reward, NamedReward):
        return reward([one or "" for one in outputs], references)
    assert sample_rate is not None
    return reward([Clip(one, sample_rate) for one in outputs], references)
